"""One verb per file; each returns data. What is printed is the faces' business."""
