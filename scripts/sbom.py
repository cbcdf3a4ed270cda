#!/usr/bin/env python3
"""Writes what the command is made of as a CycloneDX 1.5 bill of materials.

    scripts/sbom.py [--package strdiffusion-cli] [--target x86_64-unknown-linux-gnu] [-o target/sbom.json]

Every crate that is compiled in or builds it, with licence, checksum and what it depends on; crates of
tests alone are left out. The same lock file gives the same bytes.
"""

import argparse
import json
import pathlib
import subprocess
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def licence(package):
    """CycloneDX wants SPDX; old manifests write a slash for OR."""
    expression = (package["license"] or "").replace("/", " OR ")
    return [{"expression": " ".join(expression.split())}] if expression else []


def component(package, checksums):
    found = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        "licenses": licence(package),
    }
    if package["description"]:
        found["description"] = " ".join(package["description"].split())
    if checksum := checksums.get((package["name"], package["version"])):
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


def reached(root, nodes):
    """Packages that the root is made of, each with those that it depends on itself."""
    found, waiting = {}, [root]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        found[package] = [
            dependency["pkg"]
            for dependency in nodes[package]["deps"]
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
        ]
        waiting += found[package]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", default="strdiffusion-cli")
    parser.add_argument("--target", default="x86_64-unknown-linux-gnu")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=ROOT / "target/sbom.json")
    given = parser.parse_args()
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", given.target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(id for id, package in packages.items() if package["name"] == given.package)
    graph = reached(root, nodes)
    main_component = component(packages[root], checksums) | {"type": "application"}
    others = sorted((packages[id] for id in graph if id != root), key=purl)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": main_component},
        "components": [component(package, checksums) for package in others],
        "dependencies": sorted(
            (
                {"ref": purl(packages[id]), "dependsOn": sorted({purl(packages[d]) for d in deps})}
                for id, deps in graph.items()
            ),
            key=lambda entry: entry["ref"],
        ),
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(bill, indent=2, ensure_ascii=False) + "\n")
    print(f"{given.output}: {len(bill['components'])} crates")


if __name__ == "__main__":
    main()
