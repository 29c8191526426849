-- name: insert(medium, canonical, address, user_id, validated_at, added_at)!
-- A contact; touches no row if the address has an owner already, whoever that is.
INSERT INTO threepids (medium, canonical, address, user_id, validated_at, added_at)
VALUES (:medium, :canonical, :address, :user_id, :validated_at, :added_at)
ON CONFLICT (medium, canonical) DO NOTHING;

-- name: refresh(medium, canonical, address, user_id, validated_at)!
-- The owner has proven the address again.
UPDATE threepids SET validated_at = :validated_at, address = :address
WHERE medium = :medium AND canonical = :canonical AND user_id = :user_id;

-- name: of_user(user_id)$
-- The contacts of an account, oldest first, as JSON: one row is had in one step, and at each step threads change places.
SELECT json_group_array(json_array(medium, canonical, address, validated_at, added_at) ORDER BY added_at, medium, canonical)
FROM threepids WHERE user_id = :user_id;

-- name: of_user_on_postgresql(user_id)$
-- The same with this engine's functions of JSON.
SELECT COALESCE(CAST(json_agg(
    json_build_array(medium, canonical, address, validated_at, added_at) ORDER BY added_at, medium, canonical
) AS TEXT), '[]')
FROM threepids WHERE user_id = :user_id;

-- name: count_of_user(user_id)$
-- How many contacts an account has.
SELECT COUNT(*) FROM threepids WHERE user_id = :user_id;

-- name: owner(medium, canonical)$
-- The account that owns an address.
SELECT user_id FROM threepids WHERE medium = :medium AND canonical = :canonical;

-- name: holder(medium, canonical)^
-- The account that owns an address, and the spelling that it has verified.
SELECT user_id, address FROM threepids WHERE medium = :medium AND canonical = :canonical;

-- name: delete(medium, canonical, user_id)!
-- Take an address from its owner; nobody else's is touched.
DELETE FROM threepids WHERE medium = :medium AND canonical = :canonical AND user_id = :user_id;

-- name: delete_binding(user_id, medium, canonical, id_server, bound_until)!
-- An address was withdrawn from an identity server, unless it was published there anew since `bound_until`.
DELETE FROM threepid_bindings
WHERE user_id = :user_id AND medium = :medium AND canonical = :canonical AND id_server = :id_server
    AND bound_at <= :bound_until;

-- name: delete_bindings_of_user(user_id)!
-- An account has ended.
DELETE FROM threepid_bindings WHERE user_id = :user_id;

-- name: insert_binding(user_id, medium, canonical, id_server, bound_at, here_at)!
-- Where an address was published, so that it can be withdrawn there.
INSERT INTO threepid_bindings (user_id, medium, canonical, id_server, bound_at, here_at)
VALUES (:user_id, :medium, :canonical, :id_server, :bound_at, CAST(:here_at AS BIGINT))
ON CONFLICT (user_id, medium, canonical, id_server) DO UPDATE SET
    bound_at = excluded.bound_at, here_at = excluded.here_at;

-- name: bindings(user_id, medium, canonical)
-- The identity servers at which an account's address was published.
SELECT medium, canonical, id_server, bound_at, here_at FROM threepid_bindings
WHERE user_id = :user_id AND medium = :medium AND canonical = :canonical ORDER BY bound_at, id_server;

-- name: bindings_of_user(user_id)
-- Everything that an account has published.
SELECT medium, canonical, id_server, bound_at, here_at FROM threepid_bindings
WHERE user_id = :user_id ORDER BY bound_at, medium, canonical, id_server;

-- name: count_bindings(user_id)$
-- How much an account has published.
SELECT COUNT(*) FROM threepid_bindings WHERE user_id = :user_id;

-- name: get(medium, canonical)^
-- The contact with an address, whosever it is.
SELECT medium, canonical, address, validated_at, added_at FROM threepids
WHERE medium = :medium AND canonical = :canonical;
