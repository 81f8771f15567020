# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of a control plane's own, made by openssl(1)."""
import os
import subprocess

DAYS = "3650"  # beyond what clock_test.py sets clocks to
LOOPBACK = "IP:127.0.0.1,DNS:localhost"


def openssl(*args):
    r = subprocess.run(["openssl", *args], capture_output=True, text=True)
    if r.returncode != 0:
        raise OSError(f"openssl {' '.join(args)}: {r.stderr.strip()}")


class Authority:
    """Keys and certificates as FOLDER/NAME.key and FOLDER/NAME.crt; `ca` is the authority itself."""

    def __init__(self, folder, name="hami-e2e-ca"):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.folder = folder
        self.ca = self.path("ca.crt")
        openssl("req", "-x509", *self._key("ca"), "-subj", f"/CN={name}", "-out", self.ca, "-days", DAYS,
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def path(self, name):
        return os.path.join(self.folder, name)

    def _key(self, name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name + ".key"))

    def issue(self, name, subject, names=None, days=DAYS):
        """Writes (or renews) a certificate for both ends of TLS. Returns the paths of certificate and key."""
        wanted = ["-addext", "basicConstraints=CA:FALSE", "-addext", "keyUsage=critical,digitalSignature",
                  "-addext", "extendedKeyUsage=serverAuth,clientAuth"]
        if names:
            wanted += ["-addext", f"subjectAltName={names}"]
        openssl("req", "-x509", *self._key(name), "-subj", subject, "-out", self.path(name + ".crt"), "-days", days,
                "-CA", self.ca, "-CAkey", self.path("ca.key"), *wanted)
        return self.path(name + ".crt"), self.path(name + ".key")

    def signing_key(self, name):
        """A key pair for service account tokens: NAME.key and NAME.pub."""
        openssl("genrsa", "-out", self.path(name + ".key"), "2048")
        openssl("rsa", "-in", self.path(name + ".key"), "-pubout", "-out", self.path(name + ".pub"))
