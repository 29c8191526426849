// A web app on matrix-js-sdk, bundled by esbuild for a real browser. A test calls what stands in `globalThis.app`.

import { ClientEvent, createClient, SyncState } from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";
import { OAuth2 } from "matrix-js-sdk/lib/oauth/index.js";

logger.disableAll();
const CALLBACK = `${location.origin}/callback`;
const METADATA = {
    client_name: "Story",
    client_uri: "https://story.example.com/",
    redirect_uris: ["http://127.0.0.1/callback"],
    application_type: "native",
};
let client;
let oauth;
let session;

/** Send the person to the server, as Element does. */
async function signIn(base) {
    const metadata = await createClient({ baseUrl: base }).getAuthMetadata();
    const clientId = await OAuth2.registerClient(metadata, METADATA);
    oauth = new OAuth2(metadata, { clientId });
    const url = await oauth.generateAuthorizationCodeGrantUrl("the state", CALLBACK, "fragment");
    sessionStorage.setItem("app", JSON.stringify({ base, metadata, context: oauth.context }));
    location.assign(url);
}

/** Come back with a code: the tokens, and who the person is. */
async function finish() {
    const { base, metadata, context } = JSON.parse(sessionStorage.getItem("app"));
    const told = new URLSearchParams(location.hash.slice(1));
    if (told.get("state") !== "the state") throw new Error(location.href);
    oauth = new OAuth2(metadata, context);
    session = await oauth.completeAuthorizationCodeGrant(told.get("code"), CALLBACK);
    const { user_id: userId } = await createClient({ baseUrl: base, accessToken: session.access_token }).whoami();
    client = createClient({
        baseUrl: base,
        idBaseUrl: base,
        userId,
        deviceId: context.deviceId,
        accessToken: session.access_token,
        refreshToken: session.refresh_token,
        oauthClientId: context.clientId,
        onTokenRefresh() {},
        identityServer: { getAccessToken: identityToken },
    });
    const { user_id, device_id } = await client.whoami();
    return { user_id, device_id, expected: context.deviceId, access_token: session.access_token };
}

let atIdentityServer;

async function identityToken() {
    atIdentityServer ??= (await client.registerWithIdentityServer(await client.getOpenIdToken())).token;
    return atIdentityServer;
}

async function sync() {
    const prepared = new Promise((done) => {
        client.on(ClientEvent.Sync, (state) => state === SyncState.Prepared && done());
    });
    await client.startClient({ initialSyncLimit: 20 });
    await prepared;
}

const createRoom = async (name) => (await client.createRoom({ name, preset: "private_chat" })).room_id;
const say = (room, body) => client.sendTextMessage(room, body);
const inviteByEmail = (room, address) => client.inviteByEmail(room, address);
const heard = (room) => client.getRoom(room)?.getLiveTimeline().getEvents().map((event) => event.getContent().body) ?? [];
const logout = () => client.logout(true);

globalThis.app = { signIn, finish, sync, createRoom, say, inviteByEmail, heard, logout };
