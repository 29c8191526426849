"""A valid request for each operation with a body, to be spoilt one field at a time."""

from typing import Any

import httpx

from operators import NEAR, operator_token
from threepid.api.endpoints import ALL
from world import World

CREDS = {"sid": "nosuch", "client_secret": "secret", "id_server": "matrix.example.org"}
TOKEN_REQUEST = {
    "client_secret": "secret",
    "email": "new@example.com",
    "send_attempt": 1,
    "next_link": "https://app.example/",
    "id_server": "matrix.example.org",
    "id_access_token": "x",
}
PHONE_REQUEST = {
    "client_secret": "secret",
    "country": "GB",
    "phone_number": "07400 123456",
    "send_attempt": 1,
    "next_link": "https://app.example/",
    "id_server": "matrix.example.org",
    "id_access_token": "x",
}
WRONG_PASSWORD = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": "wrong password",
}
SUBMIT = {"sid": "nosuch", "client_secret": "secret", "token": "123456"}
ON_BIND = {"medium": "email", "address": "nobody@example.com", "mxid": "@alice:example.org", "invites": []}
INVITE = {
    "medium": "email", "address": "new@example.com", "room_id": "!room:example.org", "sender": "@alice:example.org",
    "room_alias": "#room:example.org", "room_avatar_url": "mxc://example.org/a", "room_join_rules": "invite",
    "room_name": "Room", "room_type": "m.space", "sender_display_name": "Alice", "sender_avatar_url": "mxc://example.org/b",
}  # fmt: skip
SIGN = {"mxid": "@alice:example.org", "token": "nosuch", "private_key": "A" * 43}
ADDRESS = {"medium": "email", "address": "nobody@example.com"}
# fmt: off
CASES: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "register": ("/_matrix/client/v3/register", None, {
        "username": "somebody", "password": "long enough", "device_id": "D", "initial_device_display_name": "N",
        "inhibit_login": False, "refresh_token": True, "auth": {"type": "m.login.dummy"},
    }),
    "request_register_msisdn_token": ("/_matrix/client/v3/register/msisdn/requestToken", None, PHONE_REQUEST),
    "request_add_msisdn_token": ("/_matrix/client/v3/account/3pid/msisdn/requestToken", "client", PHONE_REQUEST),
    "request_reset_msisdn_token": ("/_matrix/client/v3/account/password/msisdn/requestToken", None, PHONE_REQUEST),
    "request_msisdn_token": ("/_matrix/identity/v2/validate/msisdn/requestToken", "identity", PHONE_REQUEST),
    "submit_msisdn_token": ("/_matrix/identity/v2/validate/msisdn/submitToken", "identity", SUBMIT),
    "get_login_token": ("/_matrix/client/v1/login/get_token", "client", {"auth": WRONG_PASSWORD}),
    "refresh": ("/_matrix/client/v3/refresh", None, {"refresh_token": "nosuch"}),
    "token_refresh": ("/_matrix/client/r0/tokenrefresh", None, {"refresh_token": "nosuch"}),
    "request_register_email_token": ("/_matrix/client/v3/register/email/requestToken", None, TOKEN_REQUEST),
    "post_login": ("/_matrix/client/v3/login", None, {
        "type": "m.login.password", "identifier": {"type": "m.id.user", "user": "nobody"}, "password": "x",
        "user": "nobody", "medium": "email", "address": "a@b.example", "device_id": "D",
        "initial_device_display_name": "N", "token": "x", "refresh_token": False,
    }),
    "post_threepids": ("/_matrix/client/v3/account/3pid", "client", {
        "three_pid_creds": CREDS, "bind": False, "threePidCreds": CREDS,
    }),
    "add_threepid": ("/_matrix/client/v3/account/3pid/add", "client", {
        "sid": "nosuch", "client_secret": "secret", "auth": WRONG_PASSWORD,
    }),
    "delete_threepid": ("/_matrix/client/v3/account/3pid/delete", "client", {
        "medium": "email", "address": "nobody@example.com", "id_server": "matrix.example.org",
    }),
    "bind_threepid": ("/_matrix/client/v3/account/3pid/bind", "client", {
        "sid": "nosuch", "client_secret": "secret", "id_server": "matrix.example.org", "id_access_token": "x",
    }),
    "unbind_threepid": ("/_matrix/client/v3/account/3pid/unbind", "client", {
        "medium": "email", "address": "nobody@example.com", "id_server": "matrix.example.org",
    }),
    "request_add_email_token": ("/_matrix/client/v3/account/3pid/email/requestToken", "client", TOKEN_REQUEST),
    "submit_token": ("/_threepid/client/v1/submit_token", None, SUBMIT),
    "change_password": ("/_matrix/client/v3/account/password", "client", {
        "new_password": "another one", "logout_devices": False, "auth": WRONG_PASSWORD,
    }),
    "request_reset_email_token": ("/_matrix/client/v3/account/password/email/requestToken", None, TOKEN_REQUEST),
    "deactivate": ("/_matrix/client/v3/account/deactivate", "client", {
        "id_server": "matrix.example.org", "erase": False, "auth": WRONG_PASSWORD,
    }),
    "rename_device": ("/_matrix/client/v3/devices/NOSUCH", "client", {"display_name": "N"}),
    "delete_device": ("/_matrix/client/v3/devices/NOSUCH", "client", {"auth": WRONG_PASSWORD}),
    "delete_devices": ("/_matrix/client/v3/delete_devices", "client", {"devices": ["NOSUCH"], "auth": WRONG_PASSWORD}),
    "set_profile_field": ("/_matrix/client/v3/profile/@alice:example.org/displayname", "client", {
        "displayname": "Alice", "avatar_url": "mxc://example.org/picture",
    }),
    "request_openid_token": ("/_matrix/client/v3/user/@alice:example.org/openid/request_token", "client", {}),
    "register_account": ("/_matrix/identity/v2/account/register", None, {
        "access_token": "x", "matrix_server_name": "example.org", "token_type": "Bearer", "expires_in": 3600,
    }),
    "accept_terms": ("/_matrix/identity/v2/terms", "identity", {"user_accepts": ["https://example.org/rules"]}),
    "define_filter": ("/_matrix/client/v3/user/@alice:example.org/filter", "client", {}),
    "request_email_token": ("/_matrix/identity/v2/validate/email/requestToken", "identity", TOKEN_REQUEST),
    "submit_email_token": ("/_matrix/identity/v2/validate/email/submitToken", "identity", SUBMIT),
    "bind": ("/_matrix/identity/v2/3pid/bind", "identity", {
        "sid": "nosuch", "client_secret": "secret", "mxid": "@alice:example.org",
    }),
    "unbind": ("/_matrix/identity/v2/3pid/unbind", None, {
        "mxid": "@alice:example.org", "threepid": {"medium": "email", "address": "nobody@example.com"},
        "sid": "nosuch", "client_secret": "secret",
    }),
    "put_on_bind": ("/_matrix/federation/v1/3pid/onbind", None, ON_BIND),
    "post_on_bind": ("/_matrix/federation/v1/3pid/onbind", None, ON_BIND),
    "lookup": ("/_matrix/identity/v2/lookup", "identity", {
        "algorithm": "sha256", "pepper": "wrong", "addresses": ["x"],
    }),
    "request_email_token_v1": ("/_matrix/identity/api/v1/validate/email/requestToken", None, TOKEN_REQUEST),
    "submit_email_token_v1": ("/_matrix/identity/api/v1/validate/email/submitToken", None, SUBMIT),
    "request_msisdn_token_v1": ("/_matrix/identity/api/v1/validate/msisdn/requestToken", None, PHONE_REQUEST),
    "submit_msisdn_token_v1": ("/_matrix/identity/api/v1/validate/msisdn/submitToken", None, SUBMIT),
    "unbind_v1": ("/_matrix/identity/api/v1/3pid/unbind", None, {
        "mxid": "@alice:example.org", "threepid": {"medium": "email", "address": "nobody@example.com"},
        "sid": "nosuch", "client_secret": "secret",
    }),
    "bind_v1": ("/_matrix/identity/api/v1/3pid/bind", None, {
        "sid": "nosuch", "client_secret": "secret", "mxid": "@alice:example.org",
    }),
    "store_invite": ("/_matrix/identity/v2/store-invite", "identity", INVITE),
    "store_invite_v1": ("/_matrix/identity/api/v1/store-invite", None, INVITE),
    "sign_ed25519": ("/_matrix/identity/v2/sign-ed25519", "identity", SIGN),
    "sign_ed25519_v1": ("/_matrix/identity/api/v1/sign-ed25519", None, SIGN),
    "set_password": ("/_threepid/admin/v1/accounts/nobody/password", "operator", {
        "password": "long enough", "log_out_devices": False,
    }),
    "send_password_link": ("/_threepid/admin/v1/accounts/nobody/password_link", "operator", {}),
    "add_contact": ("/_threepid/admin/v1/accounts/nobody/contacts/add", "operator", ADDRESS),
    "verify_contact": ("/_threepid/admin/v1/accounts/nobody/contacts/verify", "operator", ADDRESS),
    "remove_contact": ("/_threepid/admin/v1/accounts/nobody/contacts/remove", "operator", ADDRESS),
    "log_account_out": ("/_threepid/admin/v1/accounts/nobody/log_out", "operator", {}),
    "create_account": ("/_threepid/admin/v1/accounts", "operator", {"username": "UPPER CASE", "password": "long enough"}),
    "lock_account": ("/_threepid/admin/v1/accounts/nobody/lock", "operator", {}),
    "unlock_account": ("/_threepid/admin/v1/accounts/nobody/unlock", "operator", {}),
    "deactivate_account": ("/_threepid/admin/v1/accounts/nobody/deactivate", "operator", {"erase": True}),
    "reactivate_account": ("/_threepid/admin/v1/accounts/nobody/reactivate", "operator", {"password": "long enough"}),
    "export_account": ("/_threepid/admin/v1/accounts/nobody/export", "operator", {}),
    "cancel_invite": ("/_threepid/admin/v1/invites/nosuch/cancel", "operator", {}),
    "clear_limits": ("/_threepid/admin/v1/limits/clear", "operator", {
        "account": "nobody", "address": "nobody@example.com", "network": "192.0.2.1",
    }),
    "resend_message": ("/_threepid/admin/v1/messages/nosuch/resend", "operator", {}),
    "remove_suppression": ("/_threepid/admin/v1/suppressions/remove", "operator", ADDRESS),
    "bulk_lookup_v1": ("/_matrix/identity/api/v1/bulk_lookup", None, {"threepids": [["email", "a@b.example"]]}),
}
# fmt: on
EVERYTHING_ON: dict[str, Any] = {
    **NEAR,
    # A spoilt name may be that of a stranger: nobody is called.
    "accounts__identity_servers_allowed": [],
    "identity__homeservers_allowed": ["example.org"],
    "identity__v1": {"public_keys": True, "validate": True, "lookup": True, "bind": True},
    "sms": {"via": [{"transport": "console"}], "countries": ["GB", "US"]},
}


METHODS = {endpoint.name: endpoint.method for endpoint in ALL}


class People:
    """An account of each side, with its tokens."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = world.register()
        self.identity = world.identity_token(self.client)
        self.operator = operator_token(world)

    def send(self, name: str, body: Any, **more: Any) -> httpx.Response:
        """The operation called `name` with this body, and the token that it needs."""
        path, kind, _ = CASES[name]
        return self.world.call(METHODS[name], path, body, token=self.token(kind), **more)

    def token(self, kind: str | None) -> str | None:
        return None if kind is None else str(getattr(self, kind))

    def state(self) -> object:
        """What must not change."""
        summaries = self.world.run(self.world.homeserver.accounts.list_after("", 100))
        return self.world.contacts(self.client), summaries, len(self.world.mails())
