// What an app built on today's matrix-js-sdk does with the OAuth 2.0 API, and its person in a browser without scripts.
// Prints `ok <step>` or `failed <step>` for each step.
//
//     node story.mjs <base URL of the server>
//
// `THREEPID` in the environment is the command line that operates the server, as a JSON array.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createClient } from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";
import { OAuth2, OAuth2HTTPError } from "matrix-js-sdk/lib/oauth/index.js";

const [base] = process.argv.slice(2);
logger.disableAll();
const quiet = { debug() {}, error() {}, info() {}, log() {}, trace() {}, warn() {}, getChild: () => quiet };
const PASSWORD = "correct horse battery";
const CALLBACK = "https://app.example.com/callback";
const METADATA = {
    client_name: "Story",
    client_uri: "https://app.example.com/",
    redirect_uris: [CALLBACK],
    application_type: "web",
};
let number = 0;
const fresh = () => `oauth${++number}`;
const client = (more = {}) => createClient({ baseUrl: base, localTimeoutMs: 20_000, logger: quiet, ...more });

/** What the operator does. */
function operate(...what) {
    const [command, ...before] = JSON.parse(process.env.THREEPID);
    execFileSync(command, [...before, ...what], { stdio: "pipe", timeout: 20_000 });
}

// -- The person's browser

class Browser {
    cookies = new Map();
    left = "";

    /** Open an address and follow where it leads, up to the app's own. */
    async open(address, init = {}) {
        let url = new URL(address, base);
        for (;;) {
            if (url.origin !== new URL(base).origin) return (this.left = url.href);
            const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
            const answer = await fetch(url, { redirect: "manual", ...init, headers: { ...init.headers, Cookie: cookie } });
            for (const line of answer.headers.getSetCookie()) {
                const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
                if (/Max-Age=0/.test(line)) this.cookies.delete(name);
                else this.cookies.set(name, value);
            }
            this.url = url;
            this.page = await answer.text();
            const target = answer.headers.get("location");
            if (!target) return (this.left = "");
            url = new URL(target, url);
            init = {};
        }
    }

    /** Send the page's form to `action`, or to the page itself. */
    async send(fields, action = this.url) {
        const [, token] = /name="form_token" value="([^"]+)"/.exec(this.page) ?? assert.fail(this.page);
        await this.open(action, {
            method: "POST",
            headers: { Origin: new URL(base).origin },
            body: new URLSearchParams({ form_token: token, ...fields }),
        });
    }

    signIn = (name) => this.send({ name, password: PASSWORD });
    decide = (decision = "allow") => this.send({ decision });
}

async function person() {
    const name = fresh();
    const auth = { type: "m.login.dummy" };
    const login = await client().registerRequest({ username: name, password: PASSWORD, auth });
    return { name, userId: login.user_id };
}

// -- The app

async function app(metadata = METADATA) {
    const found = await client().getAuthMetadata();
    const clientId = await OAuth2.registerClient(found, metadata, quiet);
    return { clientId, oauth: new OAuth2(found, { clientId }, quiet) };
}

/** A session of `who`: the app, its tokens and a client with them. */
async function session(who, mode = undefined) {
    const { clientId, oauth } = await app();
    const browser = new Browser();
    await browser.open(await oauth.generateAuthorizationCodeGrantUrl("the state", CALLBACK, mode));
    await browser.signIn(who.name);
    await browser.decide();
    const answer = new URL(browser.left);
    const told = mode === "query" ? answer.searchParams : new URLSearchParams(answer.hash.slice(1));
    assert.equal(told.get("state"), "the state");
    const tokens = await oauth.completeAuthorizationCodeGrant(told.get("code"), CALLBACK);
    return { clientId, oauth, tokens, client: clientOf(who, oauth, clientId, tokens) };
}

const clientOf = (who, oauth, clientId, tokens, more = {}) =>
    client({
        userId: who.userId,
        deviceId: oauth.context.deviceId,
        accessToken: tokens.access_token,
        refreshToken: tokens.refresh_token,
        oauthClientId: clientId,
        onTokenRefresh() {},
        ...more,
    });

const steps = {};

steps["register itself, twice as the same app"] = async () => {
    assert.equal((await app()).clientId, (await app()).clientId);
    assert.notEqual((await app({ ...METADATA, client_name: "Other" })).clientId, (await app()).clientId);
};

for (const mode of ["query", "fragment"]) {
    steps[`sign in by a code in the ${mode}`] = async () => {
        const who = await person();
        const { oauth, client } = await session(who, mode);
        assert.deepEqual(await client.whoami(), {
            user_id: who.userId,
            device_id: oauth.context.deviceId,
            is_guest: false,
        });
    };
}

steps["create an account on the way"] = async () => {
    const name = fresh();
    const { clientId, oauth } = await app();
    const browser = new Browser();
    await browser.open(await oauth.generateAuthorizationCodeGrantUrl("s", CALLBACK, "query", "create"));
    await browser.send({ username: name, password: PASSWORD });
    if (browser.page.includes("/account/register/finish")) await browser.send({}, "/account/register/finish");
    await browser.decide();
    const code = new URL(browser.left).searchParams.get("code");
    const tokens = await oauth.completeAuthorizationCodeGrant(code, CALLBACK);
    const { user_id } = await clientOf({}, oauth, clientId, tokens).whoami();
    assert.equal(user_id.split(":")[0], `@${name}`);
};

steps["be told that the person does not allow it"] = async () => {
    const who = await person();
    const { oauth } = await app();
    const browser = new Browser();
    await browser.open(await oauth.generateAuthorizationCodeGrantUrl("s", CALLBACK, "query"));
    await browser.signIn(who.name);
    await browser.decide("deny");
    assert.equal(new URL(browser.left).searchParams.get("error"), "access_denied");
};

steps["refresh"] = async () => {
    const who = await person();
    const { clientId, oauth, tokens } = await session(who);
    const next = await oauth.performRefreshTokenGrant(tokens.refresh_token);
    assert.notEqual(next.access_token, tokens.access_token);
    assert.equal((await clientOf(who, oauth, clientId, next).whoami()).user_id, who.userId);
};

steps["refresh by itself when its token has gone"] = async () => {
    const who = await person();
    const { clientId, oauth, tokens } = await session(who);
    let kept;
    const later = clientOf(who, oauth, clientId, { ...tokens, access_token: "gone" }, { onTokenRefresh: (t) => (kept = t) });
    assert.equal((await later.whoami()).user_id, who.userId);
    assert.ok(kept.accessToken && kept.refreshToken !== tokens.refresh_token);
};

steps["stay signed in while its account is locked"] = async () => {
    const who = await person();
    const { clientId, oauth, tokens } = await session(who);
    const later = clientOf(who, oauth, clientId, { ...tokens, access_token: "gone" }, { onTokenRefresh() {} });
    let ended = false;
    later.on("Session.logged_out", () => (ended = true));
    operate("account", "lock", who.name);
    await assert.rejects(later.whoami());
    assert.equal(ended, false, "it would delete its keys");
    operate("account", "unlock", who.name);
    assert.equal((await later.whoami()).user_id, who.userId);
};

steps["log out"] = async () => {
    const who = await person();
    const { oauth, tokens, client: mine } = await session(who);
    await mine.logout(true);
    const late = await client({ accessToken: tokens.access_token }).whoami().catch((error) => error);
    assert.equal(late.errcode, "M_UNKNOWN_TOKEN");
    const refused = await oauth.performRefreshTokenGrant(tokens.refresh_token).catch((error) => error);
    assert.ok(refused instanceof OAuth2HTTPError, String(refused));
};

steps["revoke a token"] = async () => {
    const who = await person();
    const { oauth, tokens } = await session(who);
    await oauth.revokeToken(tokens.refresh_token, "refresh_token");
    const late = await client({ accessToken: tokens.access_token }).whoami().catch((error) => error);
    assert.equal(late.errcode, "M_UNKNOWN_TOKEN");
    await oauth.revokeToken(tokens.access_token, "access_token");
};

steps["sign in by a code that the person enters elsewhere"] = async () => {
    const who = await person();
    const { clientId, oauth } = await app();
    const waiting = await oauth.startDeviceAuthorizationGrant();
    const browser = new Browser();
    await browser.open(waiting.verification_uri_complete);
    await browser.signIn(who.name);
    await browser.send({ code: waiting.user_code });
    await browser.send({ code: waiting.user_code, decision: "allow" }, "/account/link/decide");
    const tokens = await oauth.waitForDeviceAuthorizationGrant(waiting);
    assert.equal((await clientOf(who, oauth, clientId, tokens).whoami()).device_id, oauth.context.deviceId);
};

steps["know what it cannot do"] = async () => {
    const { client: mine } = await session(await person());
    const capabilities = await mine.getCapabilities();
    for (const name of ["m.change_password", "m.3pid_changes", "m.get_login_token"])
        assert.equal(capabilities[name].enabled, false);
};

steps["sign in as an app of before, by single sign-on"] = async () => {
    const who = await person();
    const old = client();
    const { flows } = await old.loginFlows();
    assert.ok(flows.find(({ type }) => type === "m.login.sso").oauth_aware_preferred);
    const browser = new Browser();
    await browser.open(old.getSsoLoginUrl("https://app.example.com/?a=b#/home", "sso"));
    await browser.signIn(who.name);
    await browser.decide();
    const answer = new URL(browser.left);
    assert.deepEqual([answer.searchParams.get("a"), answer.hash], ["b", "#/home"]);
    const login = await old.loginRequest({ type: "m.login.token", token: answer.searchParams.get("loginToken") });
    assert.equal(login.user_id, who.userId);
};

const PATIENCE = 30_000;
for (const [name, step] of Object.entries(steps)) {
    let clock;
    const late = new Promise((_, reject) => {
        clock = setTimeout(() => reject(new Error(`not done within ${PATIENCE / 1000} s`)), PATIENCE);
    });
    try {
        await Promise.race([step(), late]);
        console.log(`ok ${name}`);
    } catch (error) {
        console.log(`failed ${name}`);
        console.error(`-- ${name}\n${error.stack}`);
    } finally {
        clearTimeout(clock);
    }
}
process.exit(0);
