// What an app built on matrix-js-sdk does with accounts. Prints `ok <step>` or `failed <step>` for each step.
// VERBOSE=1 adds what the library itself has to say.
//
//     node story.mjs <base URL of the server> <URL of the post> <base URL of a server that asks much>

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { ClientEvent, HttpApiEvent, InteractiveAuth, Method, SERVICE_TYPES, SyncState } from "matrix-js-sdk";
import {
    addEmail,
    addPhone,
    client,
    clientOf,
    contactAuth,
    contacts,
    fresh,
    freshEmail,
    freshPhone,
    identityToken,
    idServer,
    logIn,
    PASSWORD,
    pressButton,
    readCode,
    refused,
    somebody,
    strictClient,
    submit,
    withPassword,
} from "./people.mjs";

const NEW_PASSWORD = "staple and then some";
const steps = {};

// -- What the server can do

steps["ask what the server can do"] = async () => {
    const nobody = client();
    const { versions } = await nobody.getVersions();
    assert.ok(versions.includes("r0.6.1") && versions.includes("v1.11"), String(versions));
    const { flows } = await nobody.loginFlows();
    assert.ok(flows.some(({ type }) => type === "m.login.password"));
    // This version wants OpenID Connect. It finds none, so an app goes on with the old login.
    await assert.rejects(nobody.getAuthMetadata());
    const person = await somebody();
    const capabilities = await person.client.getCapabilities();
    assert.notEqual(capabilities["m.change_password"]?.enabled, false);
    assert.notEqual(capabilities["m.3pid_changes"]?.enabled, false);
    assert.equal(await nobody.isUsernameAvailable(fresh()), true);
    assert.equal(await nobody.isUsernameAvailable(person.name), false);
};

// -- Registration

function register(inputs, stages, nobody = client()) {
    const username = fresh();
    let giveUp;
    const failed = new Promise((_, reject) => (giveUp = reject));
    const auth = new InteractiveAuth({
        matrixClient: nobody,
        inputs,
        doRequest: (auth) =>
            nobody.registerRequest({ username, password: PASSWORD, ...(auth ? { auth } : {}), refresh_token: true }),
        stateUpdated: (stage) => void stages[stage]?.(auth).catch(giveUp),
        requestEmailToken: (email, secret, attempt) => nobody.requestRegisterEmailToken(email, secret, attempt),
    });
    return { username, auth, login: Promise.race([auth.attemptAuth(), failed]) };
}

steps["register"] = async () => {
    const { username, login } = register({}, {});
    const answer = await login;
    assert.equal(answer.user_id.split(":")[0], `@${username}`);
    assert.deepEqual(await clientOf(answer).whoami(), {
        user_id: answer.user_id,
        device_id: answer.device_id,
        is_guest: false,
    });
};

steps["register with the old call"] = async () => {
    const nobody = client();
    const username = fresh();
    const first = await nobody.register(username, PASSWORD, null, {}).catch((error) => error);
    assert.equal(first.httpStatus, 401, String(first));
    const answer = await nobody.register(username, PASSWORD, first.data.session, { type: "m.login.dummy" });
    assert.ok(answer.access_token);
};

steps["register with an email address"] = async () => {
    const emailAddress = freshEmail();
    const { auth, login } = register({ emailAddress }, {});
    // While the person reads the mail, the app looks again and again whether the link was opened.
    let done = false;
    login.finally(() => (done = true)).catch(() => {});
    const looking = (async () => {
        while (!done) {
            await auth.poll();
            await sleep(50);
        }
    })();
    await sleep(300);
    await pressButton(emailAddress);
    const answer = await login;
    await looking;
    assert.deepEqual(await contacts({ client: clientOf(answer) }), [`email ${emailAddress}`]);
};

/** The stage of a phone number, as an app leads through it. */
const provePhone = (nobody, phone) => async (auth) => {
    const secret = auth.getClientSecret();
    const asked = await nobody.requestRegisterMsisdnToken(phone.country, phone.national, secret, 1);
    await submit(asked, secret, phone);
    await auth.submitAuthDict(contactAuth("m.login.msisdn", asked.sid, secret));
};

steps["register with a phone number"] = async () => {
    const phone = freshPhone();
    const inputs = { phoneCountry: phone.country, phoneNumber: phone.national };
    const { login } = register(inputs, { "m.login.msisdn": provePhone(client(), phone) });
    const answer = await login;
    assert.deepEqual(await contacts({ client: clientOf(answer) }), [`msisdn ${phone.msisdn}`]);
};

steps["register where much is asked"] = async () => {
    const emailAddress = freshEmail();
    const phone = freshPhone();
    const nobody = strictClient();
    const asked = [];
    const stage = (name, step) => ({
        [name]: async (auth) => {
            asked.push(name);
            await step(auth);
        },
    });
    const { login } = register(
        { emailAddress, phoneCountry: phone.country, phoneNumber: phone.national },
        {
            ...stage("m.login.registration_token", (auth) =>
                auth.submitAuthDict({ type: "m.login.registration_token", token: "welcome" }),
            ),
            ...stage("m.login.terms", (auth) => {
                const { policies } = auth.getStageParams("m.login.terms");
                assert.equal(policies.privacy.version, "1.0");
                assert.equal(policies.privacy.en.url, "https://example.com/privacy");
                return auth.submitAuthDict({ type: "m.login.terms" });
            }),
            ...stage("m.login.email.identity", async (auth) => {
                await pressButton(emailAddress);
                await auth.poll();
            }),
            ...stage("m.login.msisdn", provePhone(nobody, phone)),
        },
        nobody,
    );
    const answer = await login;
    assert.equal(new Set(asked).size, 4, String(asked));
    const person = strictClient({ userId: answer.user_id, accessToken: answer.access_token });
    assert.deepEqual(await contacts({ client: person }), [`email ${emailAddress}`, `msisdn ${phone.msisdn}`]);
};

steps["be refused a name that is taken, and a guest"] = async () => {
    const person = await somebody();
    const again = { username: person.name, password: PASSWORD, auth: { type: "m.login.dummy" } };
    await refused(client().registerRequest(again), "M_USER_IN_USE", 400);
    await refused(client().registerGuest(), "M_GUEST_ACCESS_FORBIDDEN", 403);
};

// -- Login

const loginBy = (identifier, password = PASSWORD) =>
    client().loginRequest({ type: "m.login.password", identifier, password });

steps["log in by name"] = async () => {
    const person = await somebody();
    assert.equal((await loginBy({ type: "m.id.user", user: person.name })).user_id, person.userId);
    assert.equal((await loginBy({ type: "m.id.user", user: person.userId })).user_id, person.userId);
    const old = client();
    await old.loginWithPassword(person.name, PASSWORD);
    assert.equal(old.getUserId(), person.userId);
    await refused(loginBy({ type: "m.id.user", user: person.name }, "wrong password"), "M_FORBIDDEN", 403);
};

steps["log in by email"] = async () => {
    const person = await somebody();
    const address = await addEmail(person);
    const identifier = { type: "m.id.thirdparty", medium: "email", address };
    assert.equal((await loginBy(identifier)).user_id, person.userId);
    await refused(loginBy(identifier, "wrong password"), "M_FORBIDDEN", 403);
};

steps["log in by phone"] = async () => {
    const person = await somebody();
    const phone = await addPhone(person);
    const identifier = { type: "m.id.phone", country: phone.country, phone: phone.national, number: phone.national };
    assert.equal((await loginBy(identifier)).user_id, person.userId);
    const same = { type: "m.id.thirdparty", medium: "msisdn", address: phone.msisdn };
    assert.equal((await loginBy(same)).user_id, person.userId);
};

steps["log a new device in with a login token"] = async () => {
    const person = await somebody();
    const { login_token } = await withPassword(person, (auth) => person.client.requestLoginToken(auth));
    const login = await client().loginRequest({ type: "m.login.token", token: login_token });
    assert.equal(login.user_id, person.userId);
    await refused(client().loginRequest({ type: "m.login.token", token: login_token }), "M_FORBIDDEN", 403);
};

steps["refresh a token that has expired"] = async () => {
    const person = await somebody();
    const login = await client().loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: person.userId },
        password: PASSWORD,
        refresh_token: true,
    });
    assert.ok(login.expires_in_ms > 0);
    const refreshing = client({
        userId: login.user_id,
        accessToken: "one_that_is_no_longer_known",
        refreshToken: login.refresh_token,
        tokenRefreshFunction: async (refreshToken) => {
            const answer = await refreshing.refreshToken(refreshToken);
            return { accessToken: answer.access_token, refreshToken: answer.refresh_token };
        },
    });
    assert.equal((await refreshing.whoami()).device_id, login.device_id);
    assert.notEqual(refreshing.getRefreshToken(), login.refresh_token);
};

// -- Contacts

steps["add and delete an email address"] = async () => {
    const person = await somebody();
    const address = await addEmail(person);
    assert.deepEqual(await contacts(person), [`email ${address}`]);
    await person.client.deleteThreePid("email", address);
    assert.deepEqual(await contacts(person), []);
};

steps["add and delete a phone number"] = async () => {
    const person = await somebody();
    const phone = await addPhone(person);
    assert.deepEqual(await contacts(person), [`msisdn ${phone.msisdn}`]);
    await person.client.deleteThreePid("msisdn", phone.msisdn);
    assert.deepEqual(await contacts(person), []);
};

steps["be refused with a wrong password and an open session"] = async () => {
    const person = await somebody();
    const email = freshEmail();
    const secret = person.client.generateClientSecret();
    const { sid } = await person.client.requestAdd3pidEmailToken(email, secret, 1);
    const add = (auth) => person.client.addThreePidOnly({ sid, client_secret: secret, auth });
    const wrong = await withPassword(person, add, "wrong password").catch((error) => error);
    assert.ok(wrong instanceof Error);
    await refused(withPassword(person, add), "M_THREEPID_AUTH_FAILED", 403);
    await pressButton(email);
    await withPassword(person, add);
    assert.deepEqual(await contacts(person), [`email ${email}`]);
};

steps["not take an address that is somebody's"] = async () => {
    const owner = await somebody();
    const other = await somebody();
    const address = freshEmail();
    const secret = other.client.generateClientSecret();
    const { sid } = await other.client.requestAdd3pidEmailToken(address, secret, 1);
    await pressButton(address);
    await addEmail(owner, address);
    const add = (auth) => other.client.addThreePidOnly({ sid, client_secret: secret, auth });
    await refused(withPassword(other, add), "M_THREEPID_IN_USE", 400);
    assert.deepEqual(await contacts(other), []);
};

// -- The identity server

async function found(person, token, pairs) {
    const answers = await person.client.identityHashedLookup(pairs, token);
    return Object.fromEntries(answers.map(({ address, mxid }) => [address, mxid]));
}

steps["bind, look up and unbind an email address"] = async () => {
    const person = await somebody();
    const email = await addEmail(person);
    const token = await identityToken(person);
    const secret = person.client.generateClientSecret();
    const { sid } = await person.client.requestEmailToken(email, secret, 1, undefined, token);
    await pressButton(email);
    await person.client.bindThreePid({ sid, client_secret: secret, id_server: idServer, id_access_token: token });
    assert.deepEqual(await found(person, token, [[email, "email"]]), { [email]: person.userId });
    assert.equal((await person.client.lookupThreePid("email", email, token)).mxid, person.userId);
    assert.deepEqual((await person.client.bulkLookupThreePids([["email", email]], token)).threepids, [
        ["email", email, person.userId],
    ]);
    const unbound = await person.client.unbindThreePid("email", email);
    assert.equal(unbound.id_server_unbind_result, "success");
    assert.deepEqual(await found(person, token, [[email, "email"]]), {});
    assert.deepEqual(await contacts(person), [`email ${email}`]);
};

steps["bind, look up and unbind a phone number"] = async () => {
    const person = await somebody();
    const phone = await addPhone(person);
    const token = await identityToken(person);
    const secret = person.client.generateClientSecret();
    const { sid } = await person.client.requestMsisdnToken(phone.country, phone.national, secret, 1, undefined, token);
    const code = await readCode(phone.msisdn);
    assert.deepEqual(await person.client.submitMsisdnToken(sid, secret, code, token), { success: true });
    await person.client.bindThreePid({ sid, client_secret: secret, id_server: idServer, id_access_token: token });
    assert.deepEqual(await found(person, token, [[phone.msisdn, "msisdn"]]), { [phone.msisdn]: person.userId });
    const unbound = await person.client.unbindThreePid("msisdn", phone.msisdn);
    assert.equal(unbound.id_server_unbind_result, "success");
    assert.deepEqual(await found(person, token, [[phone.msisdn, "msisdn"]]), {});
};

steps["look up a deleted address in vain"] = async () => {
    const person = await somebody();
    const email = await addEmail(person);
    const token = await identityToken(person);
    const secret = person.client.generateClientSecret();
    const { sid } = await person.client.requestEmailToken(email, secret, 1, undefined, token);
    await pressButton(email);
    await person.client.bindThreePid({ sid, client_secret: secret, id_server: idServer, id_access_token: token });
    const deleted = await person.client.deleteThreePid("email", email);
    assert.equal(deleted.id_server_unbind_result, "success");
    assert.deepEqual(await found(person, token, [[email, "email"]]), {});
};

steps["read the terms of the identity server"] = async () => {
    const { policies } = await client().getTerms(SERVICE_TYPES.IS, new URL(client().getHomeserverUrl()).origin);
    assert.deepEqual(policies, {});
};

// -- Passwords

steps["change the password"] = async () => {
    const person = await somebody();
    const other = await logIn(person);
    await withPassword(person, (auth) => person.client.setPassword(auth, NEW_PASSWORD, false));
    assert.equal((await other.whoami()).user_id, person.userId);
    await refused(logIn(person), "M_FORBIDDEN", 403);
    await logIn(person, NEW_PASSWORD);
    await withPassword(person, (auth) => person.client.setPassword(auth, PASSWORD), NEW_PASSWORD);
    assert.equal((await person.client.whoami()).user_id, person.userId);
    await refused(other.whoami(), "M_UNKNOWN_TOKEN", 401);
};

steps["reset a forgotten password by email"] = async () => {
    const person = await somebody();
    const email = await addEmail(person);
    const nobody = client();
    const secret = nobody.generateClientSecret();
    const { sid } = await nobody.requestPasswordEmailToken(email, secret, 1);
    const auth = contactAuth("m.login.email.identity", sid, secret);
    const early = await nobody.setPassword(auth, NEW_PASSWORD).catch((error) => error);
    assert.equal(early.httpStatus, 401, String(early));
    await pressButton(email);
    await nobody.setPassword(auth, NEW_PASSWORD);
    await refused(person.client.whoami(), "M_UNKNOWN_TOKEN", 401);
    await refused(logIn(person), "M_FORBIDDEN", 403);
    await logIn(person, NEW_PASSWORD);
};

steps["reset a forgotten password by phone"] = async () => {
    const person = await somebody();
    const phone = await addPhone(person);
    const nobody = client();
    const secret = nobody.generateClientSecret();
    const asked = await nobody.requestPasswordMsisdnToken(phone.country, phone.national, secret, 1);
    await submit(asked, secret, phone);
    await nobody.setPassword(contactAuth("m.login.msisdn", asked.sid, secret), NEW_PASSWORD);
    await logIn(person, NEW_PASSWORD);
};

// -- Sessions, profile, sync

steps["list, rename and delete devices"] = async () => {
    const person = await somebody();
    const others = [await logIn(person), await logIn(person), await logIn(person)];
    const [one, two, three] = others.map((other) => other.getDeviceId());
    const { devices } = await person.client.getDevices();
    assert.deepEqual(devices.map(({ display_name }) => display_name).sort(), ["Laptop", "Phone", "Phone", "Phone"]);
    await person.client.setDeviceDetails(one, { display_name: "Old phone" });
    assert.equal((await person.client.getDevice(one)).display_name, "Old phone");
    await withPassword(person, (auth) => person.client.deleteDevice(one, auth));
    await refused(person.client.getDevice(one), "M_NOT_FOUND", 404);
    await withPassword(person, (auth) => person.client.deleteMultipleDevices([two, three], auth));
    for (const other of others) await refused(other.whoami(), "M_UNKNOWN_TOKEN", 401);
    assert.equal((await person.client.getDevices()).devices.length, 1);
};

steps["have a profile"] = async () => {
    const person = await somebody();
    await person.client.setDisplayName("Alice Åström 🐈");
    await person.client.setAvatarUrl("mxc://example.org/cat");
    assert.deepEqual(await client().getProfileInfo(person.userId), {
        displayname: "Alice Åström 🐈",
        avatar_url: "mxc://example.org/cat",
    });
    assert.deepEqual(await person.client.getProfileInfo(person.userId, "displayname"), {
        displayname: "Alice Åström 🐈",
    });
};

const event = (emitter, name, accept = () => true) =>
    new Promise((resolve) => emitter.on(name, (...told) => accept(...told) && resolve(told)));

steps["sync until the session is ended elsewhere"] = async () => {
    const person = await somebody();
    const other = await logIn(person);
    const ended = event(other, HttpApiEvent.SessionLoggedOut);
    try {
        const syncing = event(other, ClientEvent.Sync, (state) => state === SyncState.Syncing);
        await other.startClient({ pollTimeout: 20_000 });
        await syncing;
        assert.deepEqual(other.getRooms(), []);
        await withPassword(person, (auth) => person.client.deleteDevice(other.getDeviceId(), auth));
        const [error] = await ended;
        assert.equal(error.errcode, "M_UNKNOWN_TOKEN");
    } finally {
        other.stopClient();
    }
};

// -- The end

steps["log out"] = async () => {
    const person = await somebody();
    const other = await logIn(person);
    await other.logout(true);
    await refused(other.whoami(), "M_UNKNOWN_TOKEN", 401);
    assert.equal((await person.client.whoami()).user_id, person.userId);
};

steps["log out everywhere"] = async () => {
    const person = await somebody();
    const others = [await logIn(person), await logIn(person)];
    // The library has no call of its own for this one.
    await person.client.http.authedRequest(Method.Post, "/logout/all");
    for (const one of [person.client, ...others]) await refused(one.whoami(), "M_UNKNOWN_TOKEN", 401);
    await logIn(person);
};

steps["deactivate"] = async () => {
    const person = await somebody();
    const email = await addEmail(person);
    const answer = await withPassword(person, (auth) => person.client.deactivateAccount(auth, true));
    assert.ok(["success", "no-support"].includes(answer.id_server_unbind_result));
    await refused(person.client.whoami(), "M_UNKNOWN_TOKEN", 401);
    await refused(logIn(person), "M_FORBIDDEN", 403);
    assert.equal(await client().isUsernameAvailable(person.name), false);
    const next = await somebody();
    await addEmail(next, email);
    assert.deepEqual(await contacts(next), [`email ${email}`]);
};

const PATIENCE = 20_000;
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
        if (error.data) console.error(JSON.stringify(error.data));
    } finally {
        clearTimeout(clock);
    }
}
// Clients that were abandoned in a failed step may still be asking.
process.exit(0);
