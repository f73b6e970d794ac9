#!/usr/bin/env node
// bill-of-materials.mjs DPKG-STATUS OPENCODE [NPM-ROOT] - prints what an image holds, as SPDX 2.3.
// The same contents give the same bytes: the document's name is a hash of its packages.
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const [status, opencode, npmRoot] = process.argv.slice(2);
const read = (file) => fs.readFileSync(file, "utf8");

// Packages of the build whose archives are linked into our programs (mk/): a fix in one of them
// needs a build, not an upgrade of the image's packages.
const linked = ["libc6-dev", "libcurl4-openssl-dev", "libseccomp-dev", "libyaml-dev", "musl-dev"];

function debian(status, wanted = () => true) {
  return read(status)
    .split("\n\n")
    .map((block) => Object.fromEntries([...block.matchAll(/^([A-Z][A-Za-z-]*): (.*)$/gm)].map((m) => [m[1], m[2]])))
    .filter((p) => p.Package && /installed$/.test(p.Status) && wanted(p.Package))
    .map((p) => ({
      name: p.Package,
      version: p.Version,
      purl: `pkg:deb/debian/${p.Package}@${encodeURIComponent(p.Version)}?arch=${p.Architecture}`,
    }));
}

function npm(folder, found = []) {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const at = path.join(folder, entry.name);
    if (!entry.isDirectory()) continue;
    if (entry.name.startsWith("@")) npm(at, found);
    else if (fs.existsSync(path.join(at, "package.json"))) {
      const { name, version, license } = JSON.parse(read(path.join(at, "package.json")));
      if (name && version)
        found.push({ name, version, license, purl: `pkg:npm/${name.replace("@", "%40")}@${version}` });
      if (fs.existsSync(path.join(at, "node_modules"))) npm(path.join(at, "node_modules"), found);
    }
  }
  return found;
}

const version = read("VERSION").trim();
const packages = [
  { name: "codev-init", version, license: "MIT", purl: `pkg:generic/codev-init@${version}` },
  {
    name: "opencode",
    version: process.env.OPENCODE_VERSION || read("OPENCODE_VERSION").trim(),
    license: "MIT",
    purl: `pkg:npm/opencode-ai@${process.env.OPENCODE_VERSION || read("OPENCODE_VERSION").trim()}`,
    sha256: createHash("sha256").update(fs.readFileSync(opencode)).digest("hex"),
  },
  ...debian(status),
  ...debian("/var/lib/dpkg/status", (name) => linked.includes(name)).map((p) => ({ ...p, comment: "linked into the programs of codev-init" })),
  ...(npmRoot ? npm(path.join(npmRoot, "usr/local/lib/node_modules")) : []),
].sort((a, b) => (a.purl < b.purl ? -1 : a.purl > b.purl ? 1 : 0));

const id = createHash("sha256").update(JSON.stringify(packages)).digest("hex");
const list = packages.map((p, i) => ({
  SPDXID: `SPDXRef-${i}`,
  name: p.name,
  versionInfo: p.version,
  downloadLocation: "NOASSERTION",
  filesAnalyzed: false,
  licenseConcluded: "NOASSERTION",
  licenseDeclared: typeof p.license === "string" && /^[A-Za-z0-9.+-]+$/.test(p.license) ? p.license : "NOASSERTION",
  copyrightText: "NOASSERTION",
  ...(p.comment ? { comment: p.comment } : {}),
  ...(p.sha256 ? { checksums: [{ algorithm: "SHA256", checksumValue: p.sha256 }] } : {}),
  externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: p.purl }],
}));
process.stdout.write(
  `${JSON.stringify(
    {
      spdxVersion: "SPDX-2.3",
      dataLicense: "CC0-1.0",
      SPDXID: "SPDXRef-DOCUMENT",
      name: `codev-init-${version}`,
      documentNamespace: `https://spdx.org/spdxdocs/codev-init-${version}-${id.slice(0, 32)}`,
      creationInfo: { created: "1970-01-01T00:00:00Z", creators: ["Tool: bill-of-materials.mjs"] },
      packages: list,
      relationships: list.map((p) => ({
        spdxElementId: "SPDXRef-DOCUMENT",
        relationshipType: "DESCRIBES",
        relatedSpdxElement: p.SPDXID,
      })),
    },
    null,
    1,
  )}\n`,
);
