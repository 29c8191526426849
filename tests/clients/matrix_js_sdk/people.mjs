// People with accounts on the server, what they can prove, and the authentication that a client leads them through.

import assert from "node:assert/strict";
import { createClient, InteractiveAuth } from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

const [base, post, strict] = process.argv.slice(2);
const chatty = process.env.VERBOSE === "1";
if (!chatty) logger.disableAll();
const quiet = { debug() {}, error() {}, info() {}, log() {}, trace() {}, warn() {}, getChild: () => quiet };

export const idServer = new URL(base).host;
export const PASSWORD = "correct horse battery";
let number = 0;
let film = 100;

/** A name that nobody has yet. */
export const fresh = () => `js${++number}`;
/** An email address that nobody has yet. */
export const freshEmail = () => `${fresh()}@example.com`;
/** An American phone number for films that nobody has yet: as people write it, and as accounts keep it. */
export function freshPhone() {
    const digits = String(film++).padStart(4, "0");
    return { country: "US", national: `(201) 555-${digits}`, msisdn: `1201555${digits}` };
}

/** A client, of nobody unless `more` says so. */
export const client = (more = {}) =>
    createClient({ baseUrl: base, idBaseUrl: base, localTimeoutMs: 20_000, ...(chatty ? {} : { logger: quiet }), ...more });

/** A client of nobody at the server that asks much of those who register. */
export const strictClient = (more = {}) => client({ baseUrl: strict, idBaseUrl: strict, ...more });

/** A client with the session that a login or a registration opened. */
export const clientOf = (login) =>
    client({ userId: login.user_id, deviceId: login.device_id, accessToken: login.access_token });

/** Somebody who registered: `client`, `name`, `userId`. */
export async function somebody() {
    const name = fresh();
    const login = await client().registerRequest({
        username: name,
        password: PASSWORD,
        initial_device_display_name: "Laptop",
        auth: { type: "m.login.dummy" },
    });
    return { name, userId: login.user_id, client: clientOf(login) };
}

/** A further session of the same person. */
export async function logIn(person, password = PASSWORD, more = {}) {
    const login = await client().loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: person.userId },
        password,
        initial_device_display_name: "Phone",
        ...more,
    });
    return clientOf(login);
}

async function read(what, to) {
    const answer = await (await fetch(`${post}${what}?to=${encodeURIComponent(to)}`)).json();
    assert.ok(answer.found, answer.error);
    return answer.found;
}
/** The code in the next message to `to`. */
export const readCode = (to) => read("code", to);
/** Open the link in the next mail to `to` and press the button. */
export async function pressButton(to) {
    const link = await read("link", to);
    const page = await (await fetch(link)).text();
    assert.match(page, /<button/);
    const done = await fetch(link, { method: "POST", headers: { Origin: new URL(link).origin } });
    assert.equal(done.status, 200);
}

/** `request(auth)` authenticated by the password of `person`, as an app does it: asked first, then answered. */
export function withPassword(person, request, password = PASSWORD) {
    const auth = new InteractiveAuth({
        matrixClient: person.client,
        doRequest: request, // the first time with null, which goes to the server as it is
        supportedStages: ["m.login.password"],
        stateUpdated(stage, status) {
            if (status.errcode) throw new Error(status.error);
            assert.equal(stage, "m.login.password");
            auth.submitAuthDict({
                type: "m.login.password",
                identifier: { type: "m.id.user", user: person.userId },
                user: person.userId,
                password,
            });
        },
        requestEmailToken: () => assert.fail("nobody has an email address here"),
    });
    return auth.attemptAuth();
}

/** What apps send as proof of an address, in both spellings. */
export function contactAuth(type, sid, secret) {
    const creds = { sid, client_secret: secret };
    return { type, threepid_creds: creds, threepidCreds: creds };
}

/** A proven email address of this account's; the address. */
export async function addEmail(person, email = freshEmail()) {
    const secret = person.client.generateClientSecret();
    const { sid } = await person.client.requestAdd3pidEmailToken(email, secret, 1);
    await pressButton(email);
    await withPassword(person, (auth) => person.client.addThreePidOnly({ sid, client_secret: secret, auth }));
    return email;
}

/** A proven phone number of this account's. */
export async function addPhone(person, phone = freshPhone()) {
    const secret = person.client.generateClientSecret();
    const asked = await person.client.requestAdd3pidMsisdnToken(phone.country, phone.national, secret, 1);
    await submit(asked, secret, phone);
    await withPassword(person, (auth) => person.client.addThreePidOnly({ sid: asked.sid, client_secret: secret, auth }));
    return phone;
}

/** Hand the texted code in where the server said. */
export async function submit(asked, secret, phone) {
    assert.ok(asked.submit_url, "no submit_url");
    const code = await readCode(phone.msisdn);
    const answer = await client().submitMsisdnTokenOtherUrl(asked.submit_url, asked.sid, secret, code);
    assert.deepEqual(answer, { success: true });
}

/** The contacts of the account as `medium address`, sorted. */
export async function contacts(person) {
    const { threepids } = await person.client.getThreePids();
    for (const threepid of threepids) {
        assert.equal(typeof threepid.validated_at, "number");
        assert.equal(typeof threepid.added_at, "number");
    }
    return threepids.map(({ medium, address }) => `${medium} ${address}`).sort();
}

/** The token of the identity server. */
export async function identityToken(person) {
    const { token } = await person.client.registerWithIdentityServer(await person.client.getOpenIdToken());
    assert.deepEqual(await person.client.getIdentityAccount(token), { user_id: person.userId });
    return token;
}

/** Is refused with this errcode (and this status). */
export const refused = (promise, errcode, status) =>
    assert.rejects(promise, (error) => {
        assert.equal(error.errcode, errcode, String(error));
        if (status) assert.equal(error.httpStatus, status);
        return true;
    });
