"""Uploads a file by tus 1.0.0, in requests of a fixed size over one connection, and prints the id of its task as JSON:
tus_upload.py SERVER FILE BYTES_PER_REQUEST. Imports only the standard library.
"""

import http.client
import json
import pathlib
import sys
import urllib.parse

TUS = {"Tus-Resumable": "1.0.0"}
# As much is read from the file and given to the connection at once.
BLOCK = 1 << 20


def answered(connection, status):
    response = connection.getresponse()
    body = response.read()
    if response.status != status:
        sys.exit(f"tus_upload: {response.status} {body.decode()}")
    return response


def main():
    server, path, per_request = sys.argv[1:]
    path, per_request = pathlib.Path(path), int(per_request)
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server).netloc)
    size = path.stat().st_size
    connection.request("POST", "/v1/uploads", headers=TUS | {"Upload-Length": str(size)})
    upload = answered(connection, 201).getheader("Location")
    task = None
    with open(path, "rb", buffering=0) as file:
        for offset in range(0, size, per_request):
            length = min(per_request, size - offset)
            headers = {"Upload-Offset": str(offset), "Content-Length": str(length)}
            headers["Content-Type"] = "application/offset+octet-stream"
            blocks = (file.read(min(BLOCK, length - start)) for start in range(0, length, BLOCK))
            connection.request("PATCH", upload, blocks, TUS | headers)
            task = answered(connection, 204).getheader("Task-Id")
    print(json.dumps({"task_id": task}))


if __name__ == "__main__":
    main()
