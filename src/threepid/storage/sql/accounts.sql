-- name: insert_account(user_id, password_hash, created_at)!
-- Insert an account; touches no row if the user ID is taken.
INSERT INTO accounts (user_id, password_hash, created_at)
VALUES (:user_id, CAST(:password_hash AS TEXT), :created_at)
ON CONFLICT (user_id) DO NOTHING;

-- name: account(user_id)^
-- One account.
SELECT user_id, password_hash, created_at, deactivated_at, locked_at FROM accounts WHERE user_id = :user_id;

-- name: account_by_threepid(medium, canonical)^
-- The account that owns an address.
SELECT accounts.user_id, password_hash, created_at, deactivated_at, locked_at
FROM threepids JOIN accounts ON accounts.user_id = threepids.user_id
WHERE medium = :medium AND canonical = :canonical;

-- name: accounts_after(user_id, count)
-- A page of accounts in order of user ID, with the number of their contacts.
SELECT accounts.user_id, created_at, deactivated_at, locked_at,
    (SELECT COUNT(*) FROM threepids WHERE threepids.user_id = accounts.user_id) AS contacts
FROM accounts WHERE accounts.user_id > :user_id ORDER BY accounts.user_id LIMIT :count;

-- name: account_of_another_name(suffix)$
-- An active account with another server name: all user IDs of one server end with its name.
SELECT user_id FROM accounts
WHERE deactivated_at IS NULL
    AND substr(user_id, length(user_id) - length(CAST(:suffix AS TEXT)) + 1) <> CAST(:suffix AS TEXT)
LIMIT 1;

-- name: hold_password(user_id, password_hash)!
-- Lock the row of an account until the transaction ends; touches no row if its password changed or it is deactivated.
UPDATE accounts SET created_at = created_at
WHERE user_id = :user_id AND deactivated_at IS NULL AND password_hash = :password_hash;

-- name: set_password_hash(user_id, password_hash)!
-- Set the password hash of an active account.
UPDATE accounts SET password_hash = CAST(:password_hash AS TEXT)
WHERE user_id = :user_id AND deactivated_at IS NULL;

-- name: deactivate(user_id, now)!
-- Deactivate an account, which ends logins for good; its user ID stays taken.
UPDATE accounts SET deactivated_at = :now, password_hash = NULL WHERE user_id = :user_id AND deactivated_at IS NULL;

-- name: lock(user_id)^
-- Lock the row of an account until the transaction ends; finds no row if it is deactivated. On SQLite, a transaction that writes
-- has locked the whole file.
SELECT locked_at FROM accounts WHERE user_id = :user_id AND deactivated_at IS NULL;

-- name: lock_on_postgresql(user_id)^
-- The same with a row lock, as an UPDATE takes it.
SELECT locked_at FROM accounts WHERE user_id = :user_id AND deactivated_at IS NULL FOR NO KEY UPDATE;

-- name: reactivate(user_id)!
-- Undo the deactivation of an account. An administrator's comes back as an ordinary one, because who may open accounts again
-- may not make administrators.
UPDATE accounts SET deactivated_at = NULL, admin_at = NULL WHERE user_id = :user_id AND deactivated_at IS NOT NULL;

-- name: set_locked(user_id, locked_at)!
-- Lock or unlock an active account; touches no row if it is so already.
UPDATE accounts SET locked_at = CAST(:locked_at AS BIGINT)
WHERE user_id = :user_id AND deactivated_at IS NULL AND (locked_at IS NULL) <> (CAST(:locked_at AS BIGINT) IS NULL);

-- name: is_locked(user_id)$
-- Is an account locked?
SELECT locked_at FROM accounts WHERE user_id = :user_id AND locked_at IS NOT NULL;

-- name: application_service(user_id)$
-- The application service of the homeserver that owns the user.
SELECT application_service FROM accounts WHERE user_id = :user_id;

-- name: admin_at(user_id)$
-- When an active account was made an administrator's.
SELECT admin_at FROM accounts WHERE user_id = :user_id AND deactivated_at IS NULL;

-- name: set_admin(user_id, admin_at)!
-- Make an active account an administrator's, or an ordinary one.
UPDATE accounts SET admin_at = CAST(:admin_at AS BIGINT) WHERE user_id = :user_id AND deactivated_at IS NULL;

-- name: accounts_between(first, last, user_id, count)
-- A page of the accounts from `first` to `last`, without `user_id`. One lower bound, because SQLite looks for one of two alone.
SELECT accounts.user_id, created_at, deactivated_at, locked_at,
    (SELECT COUNT(*) FROM threepids WHERE threepids.user_id = accounts.user_id) AS contacts
FROM accounts WHERE accounts.user_id >= :first AND accounts.user_id <= :last AND accounts.user_id <> :user_id
ORDER BY accounts.user_id LIMIT :count;

-- name: accounts_between_on_postgresql(first, last, user_id, count)
-- The same in the order of the characters' codes, whatever collation the database has.
SELECT accounts.user_id, created_at, deactivated_at, locked_at,
    (SELECT COUNT(*) FROM threepids WHERE threepids.user_id = accounts.user_id) AS contacts
FROM accounts WHERE accounts.user_id COLLATE "C" >= :first AND accounts.user_id COLLATE "C" <= :last
    AND accounts.user_id <> :user_id
ORDER BY accounts.user_id COLLATE "C" LIMIT :count;

-- name: accounts_with_part(part, user_id, count)
-- A page of the accounts whose username has `part`, in small letters, anywhere in it. It reads all of them.
SELECT accounts.user_id, created_at, deactivated_at, locked_at,
    (SELECT COUNT(*) FROM threepids WHERE threepids.user_id = accounts.user_id) AS contacts
FROM accounts WHERE accounts.user_id > :user_id
    AND instr(lower(substr(accounts.user_id, 1, instr(accounts.user_id, ':'))), :part) > 0
ORDER BY accounts.user_id LIMIT :count;

-- name: accounts_with_part_on_postgresql(part, user_id, count)
-- The same with PostgreSQL's functions, in the order of the characters' codes.
SELECT accounts.user_id, created_at, deactivated_at, locked_at,
    (SELECT COUNT(*) FROM threepids WHERE threepids.user_id = accounts.user_id) AS contacts
FROM accounts WHERE accounts.user_id COLLATE "C" > :user_id
    AND strpos(lower(split_part(accounts.user_id, ':', 1)), CAST(:part AS TEXT)) > 0
ORDER BY accounts.user_id COLLATE "C" LIMIT :count;
