# SPDX-License-Identifier: Apache-2.0
"""Pieces of structural schemas: types with bounds, selectors, conditions, rules.

Every list, map and text has a bound: the API server estimates what each CEL rule can cost at worst
and refuses a definition that could cost too much. CEL functions are those of Kubernetes 1.28, which
cannot parse addresses: patterns keep out what is plainly wrong, the controller judges the rest.
"""

# A shorter pattern costs less: with \d instead of [0-9] a list of 10,000 CIDRs stays affordable.
_OCTET = r"(25[0-5]|(2[0-4]|1\d|[1-9])?\d)"
_V4 = rf"{_OCTET}([.]{_OCTET}){{3}}"
_V6 = r"([\da-fA-F:]*::[\da-fA-F:.]*|([\da-fA-F]{1,4}:){7}[\da-fA-F]{1,4})"
_V4_LENGTH = r"(3[0-2]|[12]?\d)"
_V6_LENGTH = r"(12[0-8]|1[01]\d|[1-9]?\d)"


def text(description, longest=253, **more):
    return {"description": description, "type": "string", "maxLength": longest, **more}


def word(description, *words, **more):
    return {"description": description, "type": "string", "enum": list(words), **more}


def number(description, lowest, highest, **more):
    return {"description": description, "type": "integer", "format": "int32", "minimum": lowest,
            "maximum": highest, **more}


def long_number(description):
    # No maximum: 2^63-1 is no double, and the API server compares with doubles.
    return {"description": description, "type": "integer", "format": "int64", "minimum": 0}


def flag(description, **more):
    return {"description": description, "type": "boolean", **more}


def time(description):
    return {"description": description, "type": "string", "format": "date-time"}


def fields(description, required=(), **properties):
    schema = {"description": description, "type": "object"}
    if required:
        schema["required"] = list(required)
    schema["properties"] = properties
    return schema


def items(description, of, most, **more):
    return {"description": description, "type": "array", "maxItems": most, "items": of, **more}


def keyed(description, of, most, key):
    """A list whose items server-side apply tells apart by a key, so that managers share it."""
    return items(description, of, most, **{"x-kubernetes-list-type": "map",
                                           "x-kubernetes-list-map-keys": [key]})


def atomic(description, of, most, **more):
    """A list with one writer: no ownership is recorded for its items, which can be many."""
    return items(description, of, most, **{"x-kubernetes-list-type": "atomic"}, **more)


def mapping(description, of, most):
    return {"description": description, "type": "object", "maxProperties": most,
            "additionalProperties": of}


def rules(schema, *pairs):
    """Adds CEL rules, each with the message of its refusal. A message that begins with an
    apostrophe is itself an expression."""
    validations = schema.setdefault("x-kubernetes-validations", [])
    for rule, message in pairs:
        key = "messageExpression" if message.startswith("'") else "message"
        validations.append({"rule": rule, key: message})
    return schema


# ---- addresses ---------------------------------------------------------------------------------

def _matching(schema, pattern, what):
    # The message repeats the value: before 1.32 the API server itself shows only its type.
    return rules(schema, (f"self.matches(r'^({pattern})$')", f"'\"' + self + '\" is not {what}'"))


def cidr(description):
    return _matching(
        text(description, 49),
        f"{_V4}(/{_V4_LENGTH})?|{_V6}(/{_V6_LENGTH})?",
        "a CIDR or an address: write 10.6.1.0/24, 10.6.1.92 or fd00::/64")


def pool_entry(family, description):
    address, length, example = {
        4: (_V4, _V4_LENGTH, "10.6.1.55, 10.6.1.60-10.6.1.65 or 10.6.1.72/29"),
        6: (_V6, _V6_LENGTH, "fd00::55, fd00::60-fd00::65 or fd00:1::/64")}[family]
    return _matching(text(description, 91), f"|{address}(-{address}|/{length})?",
                     f"an IPv{family} address, range or CIDR: write {example}")


def optional_address(family, description, **more):
    address, example = {4: (_V4, "10.6.1.55"), 6: (_V6, "fd00::55")}[family]
    return _matching(text(description, 45, **more), f"|{address}",
                     f"an IPv{family} address such as {example}")


def found_address(family, description):
    """An address in a status: written by egw, so the terse check of the API server will do."""
    return {"description": description, "type": "string", "format": f"ipv{family}"}


def cidr_source(description):
    return fields(description,
                  ipv4=atomic("IPv4 CIDRs.", text("An IPv4 CIDR.", 18), 20000),
                  ipv6=atomic("IPv6 CIDRs.", text("An IPv6 CIDR.", 49), 20000))


# ---- parts of Kubernetes -----------------------------------------------------------------------

def selector(description):
    requirement = rules(
        fields("One requirement on a label.", required=["key", "operator"],
               key=text("The label's key.", 317, minLength=1),
               operator=word("How the label must relate to the values. NotIn also holds where the "
                             "label is missing.", "In", "NotIn", "Exists", "DoesNotExist"),
               values=atomic("The values for In and NotIn; none for Exists and DoesNotExist.",
                             text("A value of the label.", 63), 256)),
        ("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
         "In and NotIn need values, Exists and DoesNotExist take none"))
    schema = fields(
        description,
        matchExpressions=atomic("Requirements that must all hold.", requirement, 32),
        matchLabels=mapping("Labels that must all be there with these values.",
                            text("The value that the label must have.", 63), 64))
    schema["x-kubernetes-map-type"] = "atomic"
    return schema


NOT_EMPTY = ("(has(self.matchLabels) && size(self.matchLabels) > 0) || "
             "(has(self.matchExpressions) && size(self.matchExpressions) > 0)")


def conditions(types):
    condition = fields(
        "What is the case with this object, and what to do about it.", required=["type", "status"],
        type=text("What the condition is about.", 316, minLength=1),
        status=word("Whether it holds.", "True", "False", "Unknown"),
        observedGeneration=long_number("metadata.generation of the object that this was found "
                                       "for."),
        lastTransitionTime=time("When the status changed last."),
        reason=text("Why, in one word for programs.", 1024),
        message=text("Why, and what to do, for people.", 32768))
    return keyed(f"Conditions: {types}.", condition, 16, "type")


# ---- the definition ----------------------------------------------------------------------------

GROUP = "egressgateway.spidernet.io"


def column(name, kind, path, wide=False):
    # In a list of priority 0 the column always stands, of priority 1 only with -o wide.
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}


def condition_column(name, condition, part="status", wide=False):
    return column(name, "string", f'.status.conditions[?(@.type=="{condition}")].{part}', wide)


AGE = column("Age", "date", ".metadata.creationTimestamp")


def definition(kind, plural, scope, root, columns, short=(), categories=("egress",)):
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    if short:
        names["shortNames"] = list(short)
    if categories:
        names["categories"] = list(categories)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}",
                     "labels": {"app.kubernetes.io/part-of": "egw"}},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": scope,
            "versions": [{
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [*columns, AGE],
                "schema": {"openAPIV3Schema": root},
            }],
        },
    }
