-- name: insert(medium, canonical, address, user_id, validated_at, added_at)!
-- Insert a contact; touches no row if an account owns the address already.
INSERT INTO threepids (medium, canonical, address, user_id, validated_at, added_at)
VALUES (:medium, :canonical, :address, :user_id, :validated_at, :added_at)
ON CONFLICT (medium, canonical) DO NOTHING;

-- name: insert_within(medium, canonical, address, user_id, validated_at, added_at, most)!
-- Insert a contact; touches no row if an account owns the address already, or if this account has `most` contacts or more.
INSERT INTO threepids (medium, canonical, address, user_id, validated_at, added_at)
SELECT CAST(:medium AS TEXT), CAST(:canonical AS TEXT), CAST(:address AS TEXT), CAST(:user_id AS TEXT),
    CAST(:validated_at AS BIGINT), CAST(:added_at AS BIGINT)
WHERE (SELECT COUNT(*) FROM threepids WHERE user_id = :user_id) < :most
ON CONFLICT (medium, canonical) DO NOTHING;

-- name: refresh(medium, canonical, address, user_id, validated_at)!
-- Update a contact whose address the owner has proven again.
UPDATE threepids SET validated_at = :validated_at, address = :address
WHERE medium = :medium AND canonical = :canonical AND user_id = :user_id;

-- name: of_user(user_id)$
-- The contacts of an account, oldest first, as JSON in one row, because each row releases the GIL.
SELECT json_group_array(json_array(medium, canonical, address, validated_at, added_at) ORDER BY added_at, medium, canonical)
FROM threepids WHERE user_id = :user_id;

-- name: of_user_on_postgresql(user_id)$
-- The same with PostgreSQL's JSON functions.
SELECT COALESCE(CAST(json_agg(
    json_build_array(medium, canonical, address, validated_at, added_at) ORDER BY added_at, medium, canonical
) AS TEXT), '[]')
FROM threepids WHERE user_id = :user_id;

-- name: count_of_user(user_id)$
-- Number of contacts of an account.
SELECT COUNT(*) FROM threepids WHERE user_id = :user_id;

-- name: owner(medium, canonical)$
-- The account that owns an address.
SELECT user_id FROM threepids WHERE medium = :medium AND canonical = :canonical;

-- name: holder(medium, canonical, asker)^
-- The account that owns an address and the verified spelling, both NULL if none does; and the language of that account, else of
-- `asker`. Always one row.
SELECT held.user_id, held.address, (
    SELECT language FROM preferences WHERE preferences.user_id = COALESCE(held.user_id, CAST(:asker AS TEXT))
) AS language
FROM (SELECT 1) AS one LEFT JOIN threepids AS held ON held.medium = :medium AND held.canonical = :canonical;

-- name: delete(medium, canonical, user_id)!
-- Delete a contact of this account; touches no row if another account owns the address.
DELETE FROM threepids WHERE medium = :medium AND canonical = :canonical AND user_id = :user_id;

-- name: delete_binding(user_id, medium, canonical, id_server, bound_until)!
-- Delete the record of an address bound at an identity server, unless it was bound there again after `bound_until`.
DELETE FROM threepid_bindings
WHERE user_id = :user_id AND medium = :medium AND canonical = :canonical AND id_server = :id_server
    AND bound_at <= :bound_until;

-- name: delete_bindings_of_user(user_id)!
-- Delete all records of the addresses that an account has bound.
DELETE FROM threepid_bindings WHERE user_id = :user_id;

-- name: insert_binding(user_id, medium, canonical, id_server, bound_at, here_at)!
-- Record at which identity server an address was bound, so that it can be unbound there.
INSERT INTO threepid_bindings (user_id, medium, canonical, id_server, bound_at, here_at)
VALUES (:user_id, :medium, :canonical, :id_server, :bound_at, CAST(:here_at AS BIGINT))
ON CONFLICT (user_id, medium, canonical, id_server) DO UPDATE SET
    bound_at = excluded.bound_at, here_at = excluded.here_at;

-- name: bindings(user_id, medium, canonical)
-- The identity servers at which an account's address was bound.
SELECT medium, canonical, id_server, bound_at, here_at FROM threepid_bindings
WHERE user_id = :user_id AND medium = :medium AND canonical = :canonical ORDER BY bound_at, id_server;

-- name: bindings_of_user(user_id)
-- The addresses that an account has bound, oldest first.
SELECT medium, canonical, id_server, bound_at, here_at FROM threepid_bindings
WHERE user_id = :user_id ORDER BY bound_at, medium, canonical, id_server;

-- name: count_bindings(user_id)$
-- Number of addresses that an account has bound, counted for each identity server.
SELECT COUNT(*) FROM threepid_bindings WHERE user_id = :user_id;

-- name: get(medium, canonical)^
-- The contact with an address, whichever account owns it.
SELECT medium, canonical, address, validated_at, added_at FROM threepids
WHERE medium = :medium AND canonical = :canonical;
