"""Uploads a file of any size over any line, with statistics of its text as the result. It needs tuspy.

Usage: python3 upload.py FILE

The variables SERVER and TOKEN are those of aggregate.py. The upload continues when a connection breaks; a hundred times
for each request, with a second in between.
"""

import json
import os
import sys
import time
import urllib.request

from tusclient.client import TusClient

(file,) = sys.argv[1:]
server = os.environ.get("SERVER", "http://127.0.0.1:5000")
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]} if "TOKEN" in os.environ else {}

metadata = {"kind": "file_statistics", "filename": os.path.basename(file)}
uploader = TusClient(server + "/v1/uploads", headers).uploader(
    file, chunk_size=8 << 20, retries=100, retry_delay=1, metadata=metadata
)
uploader.upload()

# The task has the id of its upload, unless the file resumed an earlier task.
with urllib.request.urlopen(urllib.request.Request(uploader.url, headers=headers)) as response:
    task = json.load(response)["links"]["task"]
while True:
    with urllib.request.urlopen(urllib.request.Request(server + task, headers=headers)) as response:
        task_view = json.load(response)
    if task_view["finished_at"]:
        break
    time.sleep(1)

if task_view["state"] != "processed":
    sys.exit(task_view["error"]["detail"] if task_view["error"] else task_view["state"])
print(json.dumps(task_view["result"], indent=2))
