"""The one table of globals that run code, load it, or reach outside of the process; a line for each.

It makes messages better and decides nothing else: what is clean, an allowlist says, and all that is on
neither list is unknown. An advisory is that of the first tool that is known to have let the misuse pass.
"""

from __future__ import annotations

# module -> names in it, "*" for all of it and of what is under it -> advisory, "" for none
_TABLE = """
__builtin__ apply,breakpoint,compile,delattr,eval,exec,execfile,exit,filter,getattr,globals
__builtin__ help,input,locals,map,memoryview,open,quit,setattr,vars,__import__
builtins apply,breakpoint,compile,delattr,eval,exec,execfile,exit,filter,getattr,globals
builtins help,input,locals,map,memoryview,open,quit,setattr,vars,__import__
_aix_support *
_ctypes *
_io FileIO,open,open_code
_operator attrgetter,itemgetter,methodcaller GHSA-955r-x9j8-7rhh
_osx_support *
_pickle *
_posixsubprocess *
_pyio *
_pyrepl *
aiohttp *
antigravity *
asyncio * GHSA-q77w-mwjj-7mqx
bdb *
cPickle *
cProfile run GHSA-49gj-c84q-6qm9
cProfile runctx GHSA-9w88-8rmg-7g2p
cProfile *
cffi *
cloudpickle *
code InteractiveInterpreter.runcode GHSA-cj3c-v495-4xqh
code *
codeop *
commands *
copy_reg add_extension,constructor,pickle
copyreg add_extension,constructor,pickle
ctypes * GHSA-4675-36f9-wf6r
dill *
distutils * GHSA-m273-6v24-x4m4
doctest debug_script GHSA-fqq6-7vqf-w3fg
doctest *
ensurepip * GHSA-xp4f-hrf8-rxw7
fileinput *
ftplib *
gc *
glob *
http *
httplib *
idlelib.autocomplete AutoComplete.fetch_completions GHSA-7cq8-mj8x-j263
idlelib.autocomplete AutoComplete.get_entity GHSA-6w4w-5w54-rjvr
idlelib.calltip Calltip.fetch_tip GHSA-8r4j-24qv-fmq9
idlelib.calltip get_entity GHSA-9xph-j2h6-g47v
idlelib.debugobj ObjectTreeItem.SetText GHSA-3vg9-h568-4w9m
idlelib.pyshell ModifiedInterpreter.runcode GHSA-3gf5-cxq9-w223
idlelib.pyshell ModifiedInterpreter.runcommand GHSA-j343-8v2j-ff7w
idlelib.run Executive.runcode GHSA-m869-42cg-3xwr
idlelib *
imp *
importlib *
inspect *
io FileIO,open,open_code
joblib *
lib2to3.pgen2.grammar Grammar.loads GHSA-f54q-57x4-jg88
lib2to3.pgen2.pgen ParserGenerator.make_label GHSA-p9w7-82w4-7q8m
lib2to3 *
linecache *
logging.config *
marshal *
mmap *
multiprocessing *
nt *
ntpath *
numpy fromfile,load,memmap,save
numpy.ctypeslib *
numpy.distutils *
numpy.f2py.crackfortran getlincoef GHSA-r8g5-cgf2-4m4m
numpy.f2py *
numpy.lib.npyio load,save
numpy.testing *
operator attrgetter,itemgetter
operator methodcaller GHSA-84r2-jw7c-4r5q
os *
pandas read_pickle
pandas.io.pickle *
pdb *
pickle *
pickletools *
pip * CVE-2025-1716
pkgutil resolve_name GHSA-vvpj-8cmc-gx39
pkgutil *
popen2 *
posix *
posixpath *
profile Profile.run GHSA-x696-vm39-cp64
profile Profile.runctx GHSA-6vqj-c2q5-j97w
profile *
pty * GHSA-vqmv-47xg-9wpr
pydoc * GHSA-84r2-jw7c-4r5q
requests *
runpy *
shelve *
shutil *
signal *
site *
smtplib *
socket *
socketserver *
sqlite3 *
ssl *
subprocess *
sys *
tempfile *
test *
threading *
timeit * GHSA-v7x6-rv5q-mhwc
torch compile,load,save
torch._dynamo.guards GuardBuilder.get GHSA-86cj-95qr-2p4f
torch._inductor *
torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression GHSA-f4x7-rfwp-v3xw
torch.hub *
torch.jit.unsupported_tensor_ops execWrapper GHSA-vr7h-p6mm-wpmh
torch.jit *
torch.package *
torch.serialization load,save
torch.utils._config_module ConfigModule.load_config GHSA-vv6j-3g6g-2pvj
torch.utils.bottleneck.__main__ run_autograd_prof GHSA-4whj-rm5r-c2v8
torch.utils.bottleneck.__main__ run_cprofile GHSA-4r9r-ch6f-vxmx
torch.utils.bottleneck *
torch.utils.collect_env run GHSA-f745-w6jp-hpxx
torch.utils.collect_env run_and_read_all GHSA-jhph-76pp-mggw
torch.utils.collect_env *
torch.utils.cpp_extension *
torch.utils.data.datapipes.utils.decoder basichandlers GHSA-h3qp-7fh3-f8h4
trace Trace.run GHSA-5qwp-399c-mjwf
trace Trace.runctx GHSA-g344-hcph-8vgg
trace *
types CodeType,FunctionType,LambdaType,ModuleType
urllib *
venv *
webbrowser *
zipimport *
"""

DANGEROUS: dict[str, dict[str, str]] = {}
"""module -> name, or "*" for the module and all that is under it -> advisory, or ""."""
for _line in _TABLE.split("\n"):
    _module, _, _rest = _line.partition(" ")
    _names, _, _advisory = _rest.partition(" ")
    for _name in _names.split(",") if _names else ():
        DANGEROUS.setdefault(_module, {})[_name] = _advisory

ORDINARY = {("dill._dill", "_load_type"), ("dill._dill", "_create_array"), ("dill._dill", "_create_ftype")}
"""Names in modules of the table that do no harm by themselves: dill writes them for plain types and arrays."""

REACHES = ("builtins", "ctypes", "importlib", "marshal", "nt", "os", "pickle", "posix", "runpy", "shutil", "socket",
           "subprocess", "sys")  # fmt: skip
"""Modules that another one may hold under its own name: `torch.serialization` has an `os`."""
