"""The policy that `credbroker check --policies` prints for `keys`, against moto in auth mode: a user who may do exactly that
can look after a key for all its life, and without any one of its actions the command that needs it is refused.
"""

import json

from keys import Keys
from stage import BIN, Stage

# Which command needs an action.
NEEDED_BY = {
    "iam:CreateAccessKey": "create",
    "iam:DeleteAccessKey": "delete",
    "iam:GetAccessKeyLastUsed": "last-used",
    "iam:ListAccessKeys": "list",
    "iam:UpdateAccessKey": "deactivate",
}
OTHER = "AKIAOTHEROTHEROTHER1"


def main():
    with Stage("keys_policies") as stage:
        users = {}
        moto = stage.moto(lambda moto: furnish(stage, moto, users))
        life(Keys(stage, "exact", moto.url, '{ file = "base.json" }'), users["exact"])
        for action, command in NEEDED_BY.items():
            with stage.case(f"without {action} `keys {command}` is refused, and says what is missing"):
                keys = Keys(stage, f"without-{command}", moto.url, '{ file = "base.json" }')
                keys.put("base.json", users[action])
                key = [OTHER] if command in ("deactivate", "delete") else []
                done = keys(command, *key)
                assert done.returncode == 81 and action in done.stderr, done
    stage.exit()


def furnish(stage, moto, users):
    """A user with the printed policy, and for each action one without it."""
    keys = Keys(stage, "printed", moto.url, '{ env = true }')
    done = stage.run(BIN, "check", "--policies", "reader", "--json", "--config", keys.config,
                     env=stage.env(AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none"))
    [document] = [one["document"] for one in json.loads(done.stdout)["policies"] if one["purpose"] == "keys"]
    with stage.case("the policy names the actions that `keys` has commands for"):
        [statement] = document["Statement"]
        assert set(statement["Action"]) == set(NEEDED_BY), document
        assert statement["Resource"] == "arn:aws:iam::*:user/${aws:username}", document
    # To moto every request of IAM's is about everything.
    statement["Resource"] = "*"
    users["exact"] = moto._user("exact", json.dumps(document))
    for action in NEEDED_BY:
        less = {**statement, "Action": [one for one in statement["Action"] if one != action]}
        name = action.replace(":", "-")
        users[action] = moto._user(name, json.dumps({**document, "Statement": [less]}))


def life(keys, user):
    stage, old = keys.stage, user["AccessKeyId"]
    file = keys.put("base.json", user)
    with stage.case("with exactly that policy a key is made, looked at, turned off and on, and deleted"):
        for command in ("list", "create", "last-used"):
            done = keys(command)
            assert done.returncode == 0, done.stderr
            stage.secret(json.loads(file.read_text())["SecretAccessKey"])
        for command in ("deactivate", "activate", "deactivate", "delete"):
            done = keys(command, old)
            assert done.returncode == 0, done.stderr
        assert list(keys.keys()) == [json.loads(file.read_text())["AccessKeyId"]] != [old]
    with stage.case("with exactly that policy a key is rotated to its end"):
        done = keys("rotate")
        assert done.returncode == 0 and len(keys.keys()) == 2, done
        stage.secret(json.loads(file.read_text())["SecretAccessKey"])


if __name__ == "__main__":
    main()
