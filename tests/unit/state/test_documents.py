"""Documents: one value, one text, and back."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.errors import FormatError
from reconciler.model import FORMAT, App, Cluster, MatchInEffect, PolicyInEffect, RuleInEffect, encode
from reconciler.state.documents import (
    dump_app,
    dump_cluster,
    load_app,
    load_cluster,
    load_kube_system_uid,
)
from tests.builders import make_app, make_cluster

WHERE = "clusters/K-1/default/test.yaml"

HOSTILE = [
    # What other types look like.
    "1.0", "1", "007", "0x1f", "0o17", "1_000", "1e3", ".inf", "+1", "12:30:00", "1:2", "190:20:30.15",
    "yes", "no", "on", "off", "y", "N", "Yes", "OFF", "null", "~", "true", "False", "", "=", "<<",
    "2026-11-21", "2026-11-21T09:42:49.227889695Z",
    # What YAML's own signs look like.
    "---", "...", "- x", "? x", "-", ":", ": ", "a: b", "a #b", "# c", "@x", "%TAG", "{", "[", "!x", "&a",
    "*a", "|", ">", "'q'", '"q"', "\\", "\\n", "`", "`cmd`",
    # White space, control characters, and what is not ASCII.
    " lead", "trail ", "\t", "a\tb", "a\nb", "a\n", "\n", "\n\n a\n", "a\r\nb", "a\rb", "\x00", "\x01",
    "\x1b[31m", "\x7f", "\x85", "\xa0", "\u2028", "\u2029", "\ufeff", "\ufffe", "é", "日本", "😀",
    "x" * 300 + " " + "y" * 300, "word " * 200,
]  # fmt: skip


class TestText:
    def test_an_app_is_written_in_block_style_with_its_keys_in_field_order(self) -> None:
        app = make_app(pods=1, volumes=[8589934592], hosts=["a.example"])
        assert dump_app(app).decode() == (
            "app_api_info:\n"
            "  cluster_uuid: K-a0d3cdd6-d93e-4be6-8e60-6683fcb9a23e\n"
            "  app_uuid: A-2d9771b2-42d2-4b32-bcac-41d0f65e261c\n"
            "  app_name: test\n"
            "  hossted_helm: false\n"
            "app_info:\n"
            "  helm_info:\n"
            "    name: test\n"
            "    namespace: default\n"
            "    revision: 1\n"
            "    updated: '2026-11-21T09:42:49.227889695Z'\n"
            "    status: deployed\n"
            "    chart: keycloak\n"
            "    appVersion: 23.0.4\n"
            "  pod_info:\n"
            "  - name: test-keycloak-0\n"
            "    namespace: default\n"
            "    image: docker.io/bitnami/keycloak:23.0.4\n"
            "    status: Running\n"
            "  service_info:\n"
            "  - name: test-keycloak\n"
            "    namespace: default\n"
            "    port: 80\n"
            "  volume_info:\n"
            "  - name: data-test-keycloak-0\n"
            "    namespace: default\n"
            "    size: 8589934592\n"
            "  ingress_info:\n"
            "  - name: test-keycloak\n"
            "    namespace: default\n"
            "    domain: a.example\n"
            "record:\n"
            "  chart_version: 18.3.3\n"
            "  rolled_back_to: 0\n"
            "  containers:\n"
            "  - pod: test-keycloak-0\n"
            "    container: keycloak\n"
            "    kind: app\n"
            "    image: docker.io/bitnami/keycloak:23.0.4\n"
            "    digest: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"
            "  services:\n"
            "  - name: test-keycloak\n"
            "    type: ClusterIP\n"
            "  routes:\n"
            "  - kind: Ingress\n"
            "    namespace: default\n"
            "    name: test-keycloak\n"
        )

    def test_empty_lists_are_lists_and_never_null(self) -> None:
        text = dump_app(make_app(pods=0, ports=[])).decode()
        assert text.count(": []\n") == 7
        assert "null" not in text

    def test_cluster_yaml_begins_with_the_format_and_names_the_policy(self) -> None:
        assert dump_cluster(make_cluster(name="prod-eu")).decode() == (
            "format: 1\n"
            "name: prod-eu\n"
            "kube_system_uid: 7f1b6c1e-0a63-4e4f-9d1c-3a2d7c1f5b10\n"
            "policy:\n"
            "  stop: false\n"
            "  denyNamespaces: []\n"
            "  interval: 10m\n"
            "  settle: 5s\n"
            "  push:\n"
            "    'on': HelmUpdate\n"
            "    approval: Automatic\n"
            "unreadable: []\n"
        )

    def test_cluster_yaml_has_the_rules_where_there_are_any_without_what_they_leave_out(self) -> None:
        match = MatchInEffect(namespaces=("*", "dev-[ab]"), fields=("pod_info",), operations=("change",))
        rules = (RuleInEffect(match=match, action="Ignore"), RuleInEffect(action="Push"))
        cluster = Cluster(policy=PolicyInEffect(rules=rules))
        text = dump_cluster(cluster)
        assert (
            "    approval: Automatic\n"
            "  rules:\n"
            "  - match:\n"
            "      namespaces:\n"
            "      - '*'\n"
            "      - dev-[ab]\n"
            "      fields:\n"
            "      - pod_info\n"
            "      operations:\n"
            "      - change\n"
            "    action: Ignore\n"
            "  - action: Push\n"
            "unreadable: []\n"
        ) in text.decode()
        assert load_cluster(text, WHERE) == cluster
        assert msgspec.json.decode(encode(cluster), type=Cluster) == cluster

    def test_a_value_that_occurs_twice_is_written_twice_without_anchors(self) -> None:
        name = "a name that occurs twice"
        text = dump_cluster(Cluster(name=name, unreadable=(name, name))).decode()
        assert text.count(name) == 3
        assert "&" not in text

    def test_a_long_line_is_not_folded(self) -> None:
        long = "word " * 1000 + "end"
        assert f"name: {long}\n" in dump_cluster(Cluster(name=long)).decode()

    @pytest.mark.parametrize("text", ["a\nb", "\n", "a\n\n  b\n", "a\u2028b", "\u2029 ", "\x85"])
    def test_a_string_with_line_breaks_stays_on_one_line(self, text: str) -> None:
        lines = dump_cluster(Cluster(name=text)).decode().splitlines()
        assert len(lines) == len(dump_cluster(Cluster()).decode().splitlines())


class TestRoundTrip:
    @pytest.mark.parametrize("text", HOSTILE)
    def test_a_hostile_string_comes_back_as_the_same_string(self, text: str) -> None:
        app = make_app(app_version=text, chart=text, hosts=[text], chart_version=text)
        assert load_app(dump_app(app), WHERE) == app

    @pytest.mark.parametrize("version", ["1.1", "1.2"])
    @pytest.mark.parametrize("text", [text for text in HOSTILE if text.isascii() and text.isprintable()])
    def test_a_string_is_a_string_to_readers_of_yaml_1_1_and_1_2(self, text: str, version: str) -> None:
        reader = YAML(typ="safe", pure=True)
        reader.version = version
        assert reader.load(dump_cluster(Cluster(name=text)))["name"] == text

    # Lone surrogates cannot be in an app: it comes from UTF-8.
    @settings(max_examples=60)
    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
    def test_any_string_comes_back_as_the_same_string(self, text: str) -> None:
        cluster = Cluster(name=text, unreadable=(text, f"x {text}"))
        assert load_cluster(dump_cluster(cluster), WHERE) == cluster

    @settings(max_examples=40)
    @given(st.from_type(App))
    def test_any_app_comes_back_as_the_same_app_and_gives_the_same_bytes(self, app: App) -> None:
        text = dump_app(app)
        again = load_app(text, WHERE)
        assert again == app
        assert dump_app(again) == text


# Texts near the borders of what may stand bare.
near_words = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.sampled_from("ynoft01.:-+_/@eE~T Z'\"\\#\n\r\t\x85\u2028\u2029\ufeff\xa0é"), max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.from_regex(r"[0-9]{1,4}[.:-][0-9]{1,2}[.:-][0-9]{1,2}[T .:eE+-]?[0-9a-f:]{0,5}Z?", fullmatch=True),
    st.from_regex(r"(y|n|yes|No|ON|off|True|false|NULL|nan|inf|e|x)[.:-]?[0-9a]?", fullmatch=True),
)


class TestByHand:
    """Documents that a person wrote, or that hold texts near the borders of what may stand bare."""

    @settings(max_examples=60)
    @given(near_words)
    def test_any_text_comes_back_as_it_was(self, text: str) -> None:
        app = make_app(app_version=text, chart=text, hosts=[text])
        assert load_app(dump_app(app), WHERE) == app

    @pytest.mark.parametrize(
        "edit",
        [
            lambda text: text.replace("chart: keycloak", 'chart: "keycloak"'),
            lambda text: text.replace("chart: keycloak", "chart: keycloak # the chart"),
            lambda text: text.replace("chart: keycloak", "chart:   keycloak"),
            lambda text: text.replace("chart: keycloak", "chart: &a keycloak"),
            lambda text: text.replace("chart: keycloak", "chart: >-\n      keycloak"),
            lambda text: (
                text.replace("- name: test-keycloak-0", "-   name: test-keycloak-0", 1)
                .replace("    namespace: default\n    image", "      namespace: default\n      image")
                .replace("    status: Running", "      status: Running")
            ),
            lambda text: "# by hand\n---\n" + text.rstrip("\n"),
            lambda text: text.replace("\n", "\r\n"),
            lambda text: text.replace("  routes: []\n", "  routes:\n    []\n"),
            lambda text: text.replace("revision: 1\n", "revision: 0x1\n"),
        ],
    )
    def test_an_app_that_a_person_wrote_in_another_style_is_the_same_app(
        self, edit: Callable[[str], str]
    ) -> None:
        text = dump_app(make_app()).decode()
        edited = edit(text)
        assert edited != text
        assert load_app(edited.encode(), WHERE) == make_app()


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (b"app_info: [", "is not YAML"),
            (b"\xff\xfe\xff", "is not YAML"),
            (b"a: 1\na: 2\n", "is not YAML"),
            (b"", "is not a stored app"),
            (b"just words\n", "is not a stored app"),
            (b"!!python/object/apply:os.system [ls]\n", "is not YAML"),
            (dump_app(make_app()) + b"surprise: 1\n", "surprise"),
            (dump_app(make_app()).replace(b"revision: 1", b"revision: '1'"), "revision"),
            (dump_app(make_app()).replace(b"appVersion: 23.0.4", b"appVersion: 23.0"), "appVersion"),
            (
                dump_app(make_app()).replace(
                    b"updated: '2026-11-21T09:42:49.227889695Z'", b"updated: 2026-13-41"
                ),
                "",
            ),
            (b"[" * 5000, "is not YAML"),
            (b"".join(b" " * level + b"a:\n" for level in range(0, 4000, 2)), "is not"),
        ],
    )
    def test_what_is_not_an_app_is_refused_by_naming_the_file(self, text: bytes, says: str) -> None:
        with pytest.raises(FormatError) as refusal:
            load_app(text, WHERE)
        message = str(refusal.value)
        assert WHERE in message
        assert says in message
        assert "\n" not in message

    def test_a_newer_format_is_refused_and_the_advice_is_to_upgrade(self) -> None:
        text = b"format: %d\nsomething_new: [1]\n" % (FORMAT + 1)
        with pytest.raises(
            FormatError, match=r"clusters/K-1/default/test.yaml has format 2.*upgrade the program"
        ):
            load_cluster(text, WHERE)

    def test_cluster_yaml_with_an_unknown_key_of_our_own_format_is_refused(self) -> None:
        with pytest.raises(FormatError, match="surprise"):
            load_cluster(dump_cluster(Cluster()) + b"surprise: 1\n", WHERE)


class TestKubeSystemUid:
    def test_the_uid_is_read_from_a_newer_format_as_well(self) -> None:
        assert load_kube_system_uid(b"format: 99\nkube_system_uid: abc\n", WHERE) == "abc"

    def test_a_document_that_records_none_gives_an_empty_one(self) -> None:
        assert load_kube_system_uid(b"format: 1\n", WHERE) == ""

    @pytest.mark.parametrize("text", [b"[", b"- a\n", b"kube_system_uid: 7\n", b""])
    def test_a_document_that_cannot_be_read_is_refused_rather_than_taken_for_nobodys(
        self, text: bytes
    ) -> None:
        with pytest.raises(FormatError, match=WHERE):
            load_kube_system_uid(text, WHERE)


def test_the_text_and_the_canonical_json_hold_the_same() -> None:
    app = make_app(volumes=[1], hosts=["a.example"])
    loaded = YAML(typ="safe", pure=True).load(dump_app(app))
    assert msgspec.json.encode(loaded) == encode(app)
