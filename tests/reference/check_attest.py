#!/usr/bin/env python3
"""What `assay artifact bom|provenance|result` prints, against the published schemas.

    check_attest.py BOM PROVENANCE RESULT     needs cyclonedx-python-lib[json-validation] and in-toto-attestation

CycloneDX: its own JSON schema, strict. in-toto: the protocol buffers of the attestation framework, which refuse what they do not
know, and its validators.
"""
import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

bom, provenance, result = (open(path, encoding="utf-8").read() for path in sys.argv[1:4])

error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom)
assert error is None, f"CycloneDX 1.6: {error}"

for text in (provenance, result):
    statement = Statement.copy_from_pb(ParseDict(json.loads(text), statement_pb2.Statement()))
    statement.validate()

pb = ParseDict(json.loads(provenance)["predicate"], provenance_pb2.Provenance())
build, run = pb.build_definition, pb.run_details
assert build.build_type and build.external_parameters and run.builder.id, "SLSA: a required member is missing"
assert len(build.resolved_dependencies) >= 2
for dependency in build.resolved_dependencies:
    assert dependency.name and dependency.digest, dependency

pb = ParseDict(json.loads(result)["predicate"], test_result_pb2.TestResult())
assert pb.result in ("PASSED", "WARNED", "FAILED")
assert pb.configuration and all(c.digest for c in pb.configuration)
print("attest: CycloneDX 1.6, in-toto statements, SLSA provenance 1, test result 0.1: valid")
