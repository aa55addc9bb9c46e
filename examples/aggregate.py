"""Uploads a CSV file, follows its task by server-sent events, and saves the sums.

Usage: python3 aggregate.py FILE RESULT

The variable SERVER names another server than the one on this machine; one with a login needs a token
(POST /v1/sessions) in the variable TOKEN. Only the standard library is used.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

file, result = sys.argv[1:]
server = os.environ.get("SERVER", "http://127.0.0.1:5000")
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]} if "TOKEN" in os.environ else {}


def call(path, body=None, **more):
    try:
        return urllib.request.urlopen(urllib.request.Request(server + path, body, headers | more))
    except urllib.error.HTTPError as error:
        sys.exit(json.load(error)["detail"])


# The key makes it safe to repeat the request when the connection breaks.
key = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "text/csv", "Content-Length": str(os.path.getsize(file))}
name = urllib.parse.quote(os.path.basename(file))
with open(file, "rb") as body, call("/v1/data_processor/upload?file_name=" + name, body, **key) as response:
    task = json.load(response)

# The stream shows the task as it is at every change, and ends with it.
with call(task["links"]["events"]) as events:
    for line in events:
        if line.startswith(b"data:"):
            task = json.loads(line[len("data:"):])
            print(task["state"], task["progress"] or "")

if task["state"] != "processed":
    sys.exit(task["error"]["detail"] if task["error"] else task["state"])
with call(task["links"]["download"]) as sums, open(result, "wb") as saved:
    while chunk := sums.read(1 << 20):
        saved.write(chunk)
