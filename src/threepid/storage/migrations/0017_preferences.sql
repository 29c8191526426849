-- What the owner of an account chose: the language of its pages and messages, and the notices that are switched off (their names,
-- separated by blanks). An account without a row has chosen nothing.
CREATE TABLE preferences (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (user_id) ON DELETE CASCADE,
    language TEXT NOT NULL DEFAULT '',
    muted TEXT NOT NULL DEFAULT ''
);
