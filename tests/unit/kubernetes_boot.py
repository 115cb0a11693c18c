"""The boot scripts of nodes as texts: shellcheck, defaults that are the label schema's, lists of
files that are whole, and kubeadm's configuration for each of its API versions. Argument: the source
directory. What the scripts do is for system/kubernetes_boot."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

SOURCE = pathlib.Path(sys.argv[1])
BOOT = SOURCE / "plugins/kubernetes/boot"
FOLDERS = (SOURCE / "sdk/boot", BOOT)
# What the schema can't say: it depends on where the cluster runs.
ELSEWHERE = {"cgroup_driver", "cloud_provider_enabled"}


def test_shellcheck():
    scripts = [str(p) for f in FOLDERS for p in sorted(f.rglob("*.sh"))]
    scripts += [str(SOURCE / "tests/fakes/node" / n) for n in ("systemctl", "nothing")]
    assert len(scripts) > 12, scripts
    r = subprocess.run(["shellcheck", "-x", *scripts], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout


def test_defaults():
    rules = json.loads((SOURCE / "plugins/kubernetes/kubernetes.labels.schema.json")
                       .read_text())["properties"]
    text = (BOOT / "lib/settings.sh").read_text()
    found = {k.lower(): v for k, v in
             re.findall(r'^: "\$\{LABEL_([A-Z0-9_]+):=(.*)\}"$', text, re.M)}
    assert len(found) > 40, found
    for name, value in found.items():
        default = rules[name].get("default")
        want = str(default).lower() if isinstance(default, bool) else str(default)
        assert name in ELSEWHERE or value == want, f"{name}: script {value!r}, schema {want!r}"
    used = set()
    for path in BOOT.rglob("*"):
        if path.suffix in (".sh", ".yaml"):
            used |= {n.lower() for n in re.findall(r"LABEL_([A-Z0-9_]+)", path.read_text())}
    for name in used:
        assert name in rules, f"label {name} is read by a script but not in the schema"
        assert not rules[name].get("deprecated"), f"label {name} is read, so it has an effect"
    for name, rule in rules.items():
        if "default" in rule:
            kind = {"string": str, "integer": int, "boolean": bool}[rule["type"]]
            assert type(rule["default"]) is kind, f"{name}: default of another type"
            assert "enum" not in rule or rule["default"] in rule["enum"], f"{name}: default"
            if "pattern" in rule:
                assert re.search(rule["pattern"], rule["default"]), f"{name}: pattern"


def test_lists():
    for folder in FOLDERS:
        listed = set()
        for line in (folder / "FILES").read_text().splitlines():
            words = line.split("#")[0].split()
            if words:
                assert words[3] in ("all", "master", "worker") and len(words) >= 4, line
                assert words[2] in ("unit", "enabled") or re.fullmatch("0[0-7]{3}", words[2]), line
                listed.add(words[0])
        have = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {"FILES"}
        assert listed == have, listed ^ have


def config(version, **more):
    """kubeadm's configuration as the script writes it, parsed."""
    values = dict({"CLUSTER_UUID": "u", "CLUSTER_NAME": "k1", "NODE_NAME": "m0", "NODE_IP": "10.0.0.5",
                   "ROLE": "master", "KUBE_VERSION": version, "API_PRIVATE": "10.0.0.9",
                   "MASTER_IPS": "10.0.0.5,10.0.0.6,10.0.0.7", "SERVICE_CIDR": "10.254.0.0/16",
                   "POD_CIDR": "10.100.0.0/16", "MAGNUM_URL": "http://m/v1",
                   "LABEL_ADMISSION_CONTROL_LIST": "PodSecurityPolicy,LimitRanger,NodeRestriction",
                   "LABEL_KUBEAPI_OPTIONS": "--v=2 --profiling=false",
                   "LABEL_KUBEPROXY_OPTIONS": "--proxy-mode=ipvs"}, **more)
    code = "; ".join(f". {p}" for p in (FOLDERS[0] / "common.sh", *(
        BOOT / f"lib/{n}.sh" for n in ("settings", "etcd", "node", "master"))))
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as f:
        f.write(f"set -euo pipefail; shopt -s inherit_errexit; {code}; settings; kubeadm_config\n")
        f.flush()
        r = subprocess.run(["bash", f.name], capture_output=True, text=True,
                           env=dict(values, PATH=os.environ["PATH"]))
    assert r.returncode == 0, r.stderr
    return {d["kind"]: d for d in yaml.safe_load_all(r.stdout)}


def args(part):
    a = part.get("extraArgs", {})
    return {x["name"]: x["value"] for x in a} if isinstance(a, list) else a


def test_kubeadm_config():
    for version, api in (("v1.20.2", "v1beta2"), ("v1.21.14", "v1beta2"), ("v1.22.0", "v1beta3"),
                         ("v1.30.1", "v1beta3"), ("v1.31.0-x", "v1beta4"), ("v1.34.1", "v1beta4")):
        docs = config(version)
        cluster, init = docs["ClusterConfiguration"], docs["InitConfiguration"]
        assert cluster["apiVersion"] == init["apiVersion"] == f"kubeadm.k8s.io/{api}", version
        assert isinstance(cluster["apiServer"]["extraArgs"], list) == (api == "v1beta4"), version
        assert cluster["kubernetesVersion"] == version.split("-")[0]
        assert cluster["etcd"]["external"]["endpoints"] == [
            f"https://10.0.0.{n}:2379" for n in (5, 6, 7)], "its own member first"
        api_args = args(cluster["apiServer"])
        psp = "PodSecurityPolicy," if int(version.split(".")[1]) < 25 else ""
        assert api_args["enable-admission-plugins"] == f"NodeRestriction,{psp}LimitRanger", api_args
        assert api_args["v"] == "2" and api_args["profiling"] == "false", api_args
        assert api_args["authorization-mode"] == "Node,RBAC,Webhook"
        assert all(isinstance(v, str) for v in api_args.values()), "texts, as kubeadm wants them"
        external = "cloud-provider" in args(cluster["controllerManager"])
        assert external == (int(version.split(".")[1]) < 29), version
        assert docs["KubeProxyConfiguration"]["mode"] == "ipvs"
        assert cluster["networking"] == {"podSubnet": "10.100.0.0/16", "dnsDomain": "cluster.local",
                                         "serviceSubnet": "10.254.0.0/16"}
    docs = config("v1.26.1", LABEL_CONTAINER_INFRA_PREFIX="reg.example:5000/k8s/",
                  LABEL_KEYSTONE_AUTH_ENABLED="false", LABEL_KUBEAPI_OPTIONS="--v=5 --v=6")
    assert docs["ClusterConfiguration"]["imageRepository"] == "reg.example:5000/k8s"
    api_args = args(docs["ClusterConfiguration"]["apiServer"])
    assert "authorization-mode" not in api_args and api_args["v"] == "6", "the last one of a flag"


def test_addresses():
    code = f". {FOLDERS[0]}/common.sh; . {BOOT}/lib/settings.sh; address_in $1 $2"
    for net, n, want in (("10.254.0.0/16", 10, "10.254.0.10"), ("10.0.255.250/24", 10, "10.1.0.4"),
                         ("192.168.0.0/16", 1, "192.168.0.1"), ("255.0.0.0/8", 1, "255.0.0.1")):
        out = subprocess.run(["bash", "-c", code, "x", net, str(n)], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
        assert out == want, (net, n, out)


def main():
    cases = [v for k, v in globals().items() if k.startswith("test_")]
    for case in cases:
        case()
        print(f"ok   {case.__name__}")
    print(f"kubernetes_boot: {len(cases)} passed, 0 failed")


main()
