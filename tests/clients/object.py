"""A client program as anyone writes it: boto3 with no word on credentials. Puts and gets an object, prints who it is.

    object.py BUCKET KEY [put|who]
"""

import sys

import boto3

bucket, key = sys.argv[1:3]
if sys.argv[3:] != ["who"]:
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
print(boto3.client("sts").get_caller_identity()["Arn"])
