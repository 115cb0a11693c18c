"""For magnum-driver-check: what the simulator made, counted in its state directory."""
import json
import os
import pathlib
import sys

TOP = pathlib.Path(os.environ["MAGNUM_CHECK_DIR"]) / "simulator"
for line in sys.stdin:
    question = json.loads(line)
    if question["do"] == "count":
        nodes = (TOP / f"mag-{question['cluster']}").glob("mag-*.json")
        answer = {"resources": [f"node/{p.name}" for p in nodes]}
    else:
        answer = {"status": 404, "headers": "", "body": "{}"}
    print(json.dumps(answer), flush=True)
