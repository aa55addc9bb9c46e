"""Runs moto's server of S3 and creates the bucket `tasks` in it."""

import os
import threading
import time
import urllib.error
import urllib.request

PORT = "9000"


def make_bucket():
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/tasks", method="PUT")
    for _ in range(300):
        try:
            urllib.request.urlopen(request)
            return
        except urllib.error.URLError:
            time.sleep(0.1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=make_bucket, daemon=True).start()
    from moto.server import main

    main(["--host", "0.0.0.0", "--port", PORT])
