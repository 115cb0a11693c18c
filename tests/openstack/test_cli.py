"""Our client with the lab's Keystone and its service catalogue: passwords, application credentials,
tokens, clouds.yaml; what wrong ones get; and whose records of the first Magnum's nodes one sees."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import lab
import labmagnum as lm
import magnumtest as mt
from magnumtest import check, check_equal

MARK = os.urandom(4).hex()
S = {}


def run(env, *args, want=0):
    r = subprocess.run([str(mt.BIN / "magnum"), *args], capture_output=True, text=True, env=env,
                       stdin=subprocess.DEVNULL, timeout=120 * mt.SLOW)
    check_equal(r.returncode, want, f"magnum {' '.join(args)}: {r.stdout}{r.stderr}")
    return r.stdout + r.stderr


def environ(who="demo", **more):
    return S["lab"].environ(who, **dict(dict(OS_REGION_NAME=S["region"]), **more))


def listed(env, *args):
    return [n["uuid"] for n in json.loads(run(env, "node", "list", "-f", "json", *args))]


def a_password_finds_the_service():
    out = json.loads(run(environ(), "node-create", "--type", "virt", "--image-id", MARK, "-f",
                         "json"))
    S["node"] = out["uuid"]
    check_equal(out["project_id"], S["lab"].project_id("demo"), "project")
    check_equal(out["user_id"], S["lab"].user_id("demo"), "user")
    check(S["node"] in listed(environ()), "listed")
    ids = environ(OS_USERNAME=None, OS_PROJECT_NAME=None, OS_USER_DOMAIN_NAME=None,
                  OS_PROJECT_DOMAIN_NAME=None, OS_USER_ID=S["lab"].user_id("demo"),
                  OS_PROJECT_ID=S["lab"].project_id("demo"))
    check(S["node"] in listed(ids), "by ids")
    options = environ(OS_PASSWORD=None, OS_USERNAME=None, OS_AUTH_TYPE=None)
    check(S["node"] in listed(options, "--os-username", "demo", "--os-password",
                              S["lab"].password, "--os-interface", "internal"), "by options")
    plain = environ(OS_AUTH_TYPE=None, OS_USER_DOMAIN_NAME=None, OS_PROJECT_DOMAIN_NAME=None,
                    OS_AUTH_URL=S["lab"].auth_url.removesuffix("/v3") + "/")
    check(S["node"] in listed(plain), "the default domain, a URL without version")


def others_see_what_is_theirs():
    check(S["node"] not in listed(environ("admin")), "another project")
    run(environ("admin"), "node", "show", S["node"], want=3)
    reader = environ("reader")
    check(S["node"] in listed(reader), "a reader of the project")
    check("Policy doesn't allow node:create" in run(reader, "node", "create", want=1), "no writer")
    check("Policy doesn't allow node:delete" in
          run(reader, "node", "delete", S["node"], want=1), "no remover")


def application_credentials():
    user, secret = S["lab"].user_id("demo"), f"s3cret-{MARK}"
    token = S["lab"].token("demo")
    credential = lab.keystone("POST", f"/users/{user}/application_credentials", {
        "application_credential": {"name": f"ac-{MARK}", "secret": secret}}, token
    )[1]["application_credential"]
    try:
        bare = dict(OS_USERNAME=None, OS_PASSWORD=None, OS_PROJECT_NAME=None,
                    OS_USER_DOMAIN_NAME=None, OS_PROJECT_DOMAIN_NAME=None,
                    OS_APPLICATION_CREDENTIAL_SECRET=secret)
        check(S["node"] in listed(environ(
            OS_AUTH_TYPE="v3applicationcredential",
            OS_APPLICATION_CREDENTIAL_ID=credential["id"], **bare)), "by id")
        bare.update(OS_USERNAME="demo", OS_USER_DOMAIN_NAME="Default")
        check(S["node"] in listed(environ(
            OS_AUTH_TYPE=None, OS_APPLICATION_CREDENTIAL_NAME=f"ac-{MARK}", **bare)), "by name")
        bare.update(OS_APPLICATION_CREDENTIAL_SECRET="wrong")
        out = run(environ(OS_AUTH_TYPE=None, OS_APPLICATION_CREDENTIAL_NAME=f"ac-{MARK}", **bare),
                  "node", "list", want=1)
        check("Keystone does not let us in" in out, out)
    finally:
        lab.keystone("DELETE", f"/users/{user}/application_credentials/{credential['id']}",
                     token=token)


def tokens():
    token = S["lab"].token("demo")
    none = dict(OS_USERNAME=None, OS_PASSWORD=None, OS_USER_DOMAIN_NAME=None)
    check(S["node"] in listed(environ(OS_AUTH_TYPE="token", OS_TOKEN=token, **none)),
          "the catalogue of a token")
    check(S["node"] in listed(environ(OS_AUTH_TYPE=None, OS_TOKEN=token, OS_AUTH_URL=None,
                                      OS_ENDPOINT_OVERRIDE=S["url"], **none)),
          "as it is, to a service that is named")
    out = run(environ(OS_AUTH_TYPE="token", OS_TOKEN="wrong", **none), "node", "list", want=1)
    check("Keystone does not let us in" in out, out)
    env = environ(OS_AUTH_TYPE=None, OS_TOKEN="wrong", OS_AUTH_URL=None,
                  OS_ENDPOINT_OVERRIDE=S["url"], **none)
    check("requires authentication" in run(env, "node", "list", want=1), "the service's own word")


def clouds_yaml():
    with tempfile.TemporaryDirectory() as top:
        file = pathlib.Path(top) / "clouds.yaml"
        file.write_text(json.dumps({"clouds": {"lab": {
            "auth_type": "password", "region_name": S["region"], "interface": "public",
            "auth": {"auth_url": S["lab"].auth_url, "username": "demo",
                     "password": S["lab"].password, "project_name": "demo",
                     "user_domain_name": "Default", "project_domain_id": "default"}},
            "broken": {"auth_type": "password", "auth": {"auth_url": S["lab"].auth_url}}}}))
        env = mt.clean_env(OS_CLIENT_CONFIG_FILE=str(file))
        check(S["node"] in listed(env, "--os-cloud", "lab"), "by option")
        check(S["node"] in listed(dict(env, OS_CLOUD="lab")), "by environment")
        run(env, "node", "list", "--os-cloud", "nowhere", want=2)
        check("OS_USERNAME" in run(env, "node", "list", "--os-cloud", "broken", want=2), "broken")


def what_is_wrong_is_told():
    out = run(environ(OS_PASSWORD="wrong"), "cluster", "list", want=1)
    check("Keystone does not let us in" in out and "HTTP 401" in out, out)
    check(S["lab"].password not in run(environ(), "--debug", "cluster", "list"), "no secret shown")
    out = run(environ(OS_AUTH_URL="http://127.0.0.1:1/v3"), "cluster", "list", want=6)
    check("cannot reach Keystone" in out, out)
    out = run(environ(OS_REGION_NAME="Atlantis"), "cluster", "list", want=2)
    check("no container-infra service in region Atlantis" in out, out)
    out = run(environ(OS_AUTH_TYPE="v3kerberos"), "cluster", "list", want=2)
    check("is not known here" in out, out)


def a_cluster_is_followed_with_a_login():
    env = environ()
    run(env, "cluster-template-create", f"t-{MARK}", "--coe", "kubernetes", "--image-id",
        "fedora-coreos", "--external-network-id", "public", "--labels",
        "sim_steps=2,sim_step_ms=10")
    out = run(env, "cluster-create", f"c-{MARK}", "--cluster-template", f"t-{MARK}", "--wait")
    check("CREATE_COMPLETE" in out, out)
    run(env, "cluster-delete", f"c-{MARK}", "--wait")
    run(env, "cluster-template-delete", f"t-{MARK}")


def the_record_goes():
    run(environ(), "node-delete", S["node"])
    check(S["node"] not in listed(environ()), "gone")


def main():
    with lab.up("identity") as S["lab"], lm.stack() as stack, lm.api(stack, S["lab"]) as S["url"]:
        with S["lab"].region_of(S["url"] + "/v1", f"Cli-{MARK}") as S["region"]:
            mt.main("__main__", [
                a_password_finds_the_service, others_see_what_is_theirs, application_credentials,
                tokens, clouds_yaml, what_is_wrong_is_told, a_cluster_is_followed_with_a_login,
                the_record_goes])


if __name__ == "__main__":
    main()
