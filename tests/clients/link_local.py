"""A client that is told nothing at all finds the daemon on 169.254.169.254, as on EC2. Runs inside link_local.sh."""

import os
import pathlib
import sys

from stage import REGION, VENV, Stage, config

HERE = pathlib.Path(__file__).parent


def main():
    with Stage("link_local") as stage:
        moto = stage.moto()
        stage.write("daemon/base.json", moto.user)
        reader = {"role_arn": moto.role, "endpoint_url": moto.url, "region": REGION}
        stage.daemon(config("base.json", {"reader": reader}, imds="169.254.169.254:80"))
        # Where S3 and STS are is all that it needs to know: that is the emulator's, not the daemon's.
        env = stage.env(AWS_ENDPOINT_URL=moto.url, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
        with stage.case("boto3 without any setting"):
            done = stage.run(VENV / "python", HERE / "object.py", moto.bucket, "plain",
                             env={**env, "AWS_DEFAULT_REGION": REGION})
            assert ":assumed-role/S3Access/" in done.stdout, f"{done.stdout}{done.stderr[-400:]}"
        with stage.case("the region is found there too"):
            script = "from botocore.utils import IMDSRegionProvider as P; import botocore.session as s; " \
                     "print(P(s.get_session()).provide())"
            done = stage.run(VENV / "python", "-c", script, env=env)
            assert done.stdout.strip() == REGION, f"{done.stdout}{done.stderr[-400:]}"
    stage.exit()


if __name__ == "__main__":
    sys.exit(main())
