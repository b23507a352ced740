"""A program that never stops working: boto3 with no word on credentials lists a bucket four times a second.

    watch.py BUCKET SECONDS     prints how many calls were made, with which keys, and what failed
"""

import json
import sys
import time

import boto3
from botocore.config import Config

bucket, seconds = sys.argv[1], float(sys.argv[2])
session = boto3.Session()
s3 = session.client("s3", config=Config(retries={"total_max_attempts": 1}))
calls, keys, failures = 0, [], []
end = time.monotonic() + seconds
while time.monotonic() < end:
    calls += 1
    try:
        s3.list_objects_v2(Bucket=bucket)
        key = session.get_credentials().access_key
        keys += [key] if key not in keys else []
    except Exception as error:
        failures.append(f"{time.strftime('%H:%M:%S')} {error}")
    time.sleep(0.25)
print(json.dumps({"calls": calls, "keys": keys, "failures": failures}))
