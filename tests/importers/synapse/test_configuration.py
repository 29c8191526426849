"""What homeserver.yaml says."""

from pathlib import Path

from threepid.importers.synapse.configuration import Settings, read

SQLITE = "server_name: example.org\ndatabase: {name: sqlite3, args: {database: /var/lib/homeserver.db}}\n"


def settings(tmp_path: Path, *texts: str) -> Settings:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_text(text)
    return read(files)


def test_the_defaults_of_synapse(tmp_path: Path) -> None:
    assert settings(tmp_path, SQLITE) == Settings(
        server_name="example.org",
        database="sqlite:/var/lib/homeserver.db",
        pepper="",
        has_passwords=True,
        needs_approval=False,
        expires_accounts=False,
    )


def test_libpq_gets_its_arguments_and_not_those_of_the_pool(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "server_name: example.org\ndatabase:\n  name: psycopg2\n  txn_limit: 1000\n  args:\n    user: synapse\n"
        "    password: secret\n    database: synapse\n    host: localhost\n    port: 5433\n    cp_min: 5\n    cp_max: 10\n"
        "    sslmode: require\n    passfile:\n",
    )
    assert found.database == "postgresql:"
    assert found.arguments == {
        "user": "synapse", "password": "secret", "dbname": "synapse", "host": "localhost", "port": "5433", "sslmode": "require",
    }  # fmt: skip


def test_of_several_databases_the_one_of_users_is_read(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "server_name: example.org\ndatabases:\n"
        "  state: {name: psycopg2, data_stores: [state], args: {dbname: state}}\n"
        "  master: {name: psycopg2, data_stores: [main], args: {dbname: main}}\n",
    )
    assert found.arguments == {"dbname": "main"}


def test_a_later_file_replaces_sections(tmp_path: Path) -> None:
    found = settings(tmp_path, SQLITE, "password_config: {pepper: one}\n", "password_config: {pepper: 'two '}\n")
    assert found.pepper == "two "


def test_a_database_without_a_list_of_stores_has_all_of_them(tmp_path: Path) -> None:
    found = settings(
        tmp_path, "server_name: example.org\ndatabases:\n  master: {name: psycopg2, args: {dbname: synapse}}\n"
    )
    assert found.arguments == {"dbname": "synapse"}


def test_a_folder_stands_for_its_yaml_files_in_their_order(tmp_path: Path) -> None:
    """As Debian starts Synapse: with homeserver.yaml, and with the folder conf.d that has the server name."""
    folder = tmp_path / "conf.d"
    (folder / "sub.yaml").mkdir(parents=True)
    for name, text in {
        "server_name.yaml": "server_name: example.org\n",
        "2.yaml": "password_config: {pepper: second}\n",
        "1.yaml": "password_config: {pepper: first}\n",
        "comments.yaml": "# nothing yet\n",
        "z.yaml.dpkg-old": "password_config: {pepper: old}\n",
    }.items():
        (folder / name).write_text(text)
    main = tmp_path / "homeserver.yaml"
    main.write_text(SQLITE.replace("server_name: example.org\n", "password_config: {pepper: main}\n"))
    found = read([main, folder])
    assert (found.server_name, found.database, found.pepper) == (
        "example.org", "sqlite:/var/lib/homeserver.db", "second",
    )  # fmt: skip


def test_passwords_that_do_not_sign_in_are_off(tmp_path: Path) -> None:
    for text, has in (
        ("{enabled: false}", False),
        ("{localdb_enabled: false}", False),
        ("{enabled: only_for_reauth}", False),
        ("{enabled: true, localdb_enabled: true}", True),
        ("", True),
    ):
        assert settings(tmp_path, SQLITE + f"password_config: {text}\n").has_passwords is has, text


def test_locks_that_are_in_force(tmp_path: Path) -> None:
    for text in ("{msc3866: {enabled: true}}", "{msc3866: {require_approval_for_new_accounts: true}}", "{}", ""):
        assert not settings(tmp_path, SQLITE + f"experimental_features: {text}\n").needs_approval
    both = "{msc3866: {enabled: true, require_approval_for_new_accounts: true}}"
    found = settings(
        tmp_path, SQLITE + f"experimental_features: {both}\naccount_validity: {{enabled: true, period: 6w}}\n"
    )
    assert (found.needs_approval, found.expires_accounts) == (True, True)
