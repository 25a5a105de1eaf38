"""What a save leaves behind when the power fails: every state that a file system may keep, read back.

record    one save runs under strace
calls     the trace becomes a list of calls with their data
disk      the calls act on a file system in memory that knows what is durable
states    what a crash at each call may leave, each distinct tree once
check     each tree is written out and read back: old, new, unreadable, a mix, or lost
run       all scenarios, as a table
"""
