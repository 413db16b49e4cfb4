"""run_notebook.py NOTEBOOK PARAMETERS: runs it by nbclient, and prints what its cells printed and showed, as JSON.

Needs an environment's Python with nbclient alone. The parameters are lines of Python after those of the cell that has that tag.
"""

import json
import sys

import nbformat
from nbclient import NotebookClient

path, parameters = sys.argv[1:]
book = nbformat.read(path, as_version=4)
nbformat.validate(book)
for cell in book.cells:
    if "parameters" in cell.metadata.get("tags", []):
        cell.source += "\n" + parameters
NotebookClient(book, timeout=600, kernel_name="python3").execute()
outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
# Not BokehJS itself: Jupyter lets a cell print a megabyte a second, and drops what is more.
shown = [data for output in outputs for data in output.get("data", {}).items() if len(data[1]) < 200_000]
print(json.dumps({"said": said, "shown": shown}))
