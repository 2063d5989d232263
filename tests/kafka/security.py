"""A broker that lets nobody in unasked: TLS with keys of its own, SCRAM users, ACLs."""

import datetime
import ipaddress
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADMIN = "admin"
LISTENER = "SASL_SSL"
MECHANISM = "SCRAM-SHA-512"
ITERATIONS = 4096
SECONDS = 120.0


@dataclass(frozen=True)
class Security:
    """Keys of a broker and the password of its super user; `make` writes them.

    The controller's listener stays plain: it is the node's own, and no client is told of it.
    """

    authority: Path
    keystore: Path
    password: str = field(repr=False)

    def settings(self) -> dict[str, str]:
        """What `server.properties` needs besides the listeners."""
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        return {
            "inter.broker.listener.name": LISTENER,
            "listener.security.protocol.map": f"{LISTENER}:{LISTENER},CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                f'{scram} required username="{ADMIN}" password="{self.password}";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
        }

    def format_arguments(self) -> list[str]:
        """What the storage tool is told, so that the super user can log in at the first start."""
        return [f"--add-scram={MECHANISM}=[name={ADMIN},password={self.password}]"]

    def client(self, user: str = ADMIN, password: str | None = None) -> dict[str, str]:
        """What a client of librdkafka needs to be this user."""
        return {
            "security.protocol": LISTENER,
            "ssl.ca.location": str(self.authority),
            "sasl.mechanism": MECHANISM,
            "sasl.username": user,
            "sasl.password": self.password if password is None else password,
        }


def make(directory: Path) -> Security:
    """A certificate authority and a broker's key for the loopback address, as PEM files."""
    directory.mkdir(parents=True, exist_ok=True)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("Telltale tests", authority_key, None)
    certificate = _certificate("localhost", key, (authority, authority_key))
    found = Security(directory / "ca.pem", directory / "broker.pem", secrets.token_hex(16))
    found.authority.write_bytes(_pem(authority))
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    found.keystore.touch(0o600)
    found.keystore.write_bytes(secret + _pem(certificate) + _pem(authority))
    return found


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    """A certificate of an authority, of the key itself where there is none."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key if issuer is None else issuer[1], hashes.SHA256())


def add_users(admin: AdminClient, passwords: Mapping[str, str]) -> None:
    """Let these users log in."""
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    upsertions = [
        UserScramCredentialUpsertion(user, info, password.encode())
        for user, password in passwords.items()
    ]
    for future in admin.alter_user_scram_credentials(upsertions).values():
        future.result(SECONDS)


def binding(user: str, operation: str, resource: str, name: str) -> AclBinding:
    """An ACL by Kafka's words; a name that ends in `*` is a prefix."""
    prefixed = name.endswith("*")
    return AclBinding(
        ResourceType[_upper(resource)],
        name.removesuffix("*"),
        ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[_upper(operation)],
        AclPermissionType.ALLOW,
    )


def _upper(word: str) -> str:
    """`DescribeConfigs` as `DESCRIBE_CONFIGS`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).upper()


def allow(admin: AdminClient, bindings: Iterable[AclBinding]) -> None:
    """Create ACLs; returns once the broker goes by all of them."""
    wanted = list(bindings)
    for future in admin.create_acls(wanted).values():
        future.result(SECONDS)
    deadline = time.monotonic() + SECONDS
    while not set(wanted) <= set(admin.describe_acls(_any()).result(SECONDS)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the broker does not know its ACLs after {SECONDS:.0f} s")


def revoke(admin: AdminClient, one: AclBinding) -> None:
    """Delete an ACL."""
    chosen = AclBindingFilter(
        one.restype,
        one.name,
        one.resource_pattern_type,
        one.principal,
        one.host,
        one.operation,
        one.permission_type,
    )
    for future in admin.delete_acls([chosen]).values():
        assert future.result(SECONDS)


def _any() -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        None,
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
