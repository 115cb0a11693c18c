-- compatible-with: 1
-- Additions only, so that programs of revision 1 go on working beside newer ones.

-- ---- etcd discovery ----
-- Tokens of the built-in discovery endpoint and the members that announced themselves under them,
-- in the order in which they came: the first `size` of them found the etcd cluster.
CREATE TABLE discovery (
    token text COLLATE "C" PRIMARY KEY,
    size integer NOT NULL,
    next_index bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX discovery_expires ON discovery (expires_at);
CREATE TABLE discovery_member (
    token text COLLATE "C" NOT NULL,
    member text COLLATE "C" NOT NULL,
    value text NOT NULL,
    created_index bigint NOT NULL,
    modified_index bigint NOT NULL,
    PRIMARY KEY (token, member),
    CONSTRAINT discovery_member_token FOREIGN KEY (token) REFERENCES discovery (token)
        ON DELETE CASCADE
);
