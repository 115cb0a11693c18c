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

-- ---- fair shares ----
-- The queue by project: conductors go from one project with due work to the next, however much of
-- it one of them has (op_lease.c). The expression is the one used there.
CREATE INDEX operation_project_due ON operation (coalesce(project_id, ''), due_at)
    WHERE status IN ('PENDING', 'RUNNING', 'BLOCKED') AND superseded_by IS NULL;

-- ---- traces ----
-- The W3C trace context (version 00) of the request that made the operation, so that whichever
-- conductor works on it goes on with the client's trace. NULL: made by none, or before this revision.
ALTER TABLE operation ADD COLUMN traceparent text;

-- ---- archives ----
-- How much of each archive file of magnum-db-manage is valid, told by the transaction that removed
-- the rows which were written there: what a crash left behind it is cut off. id: in its first line.
CREATE TABLE archive_file (
    id text COLLATE "C" PRIMARY KEY,
    path text NOT NULL,
    bytes bigint NOT NULL,
    row_count bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz
);

-- ---- quotas ----
-- What one node of a group takes, as it was when the group was made; NULL is not known. Usage is the
-- sum over the rows that are there, so nothing has to be given back and nothing can drift.
ALTER TABLE nodegroup ADD COLUMN vcpus bigint;
ALTER TABLE nodegroup ADD COLUMN ram_mb bigint;
ALTER TABLE nodegroup ADD COLUMN volume_gb bigint;

-- ---- sums over nodegroups ----
-- Statistics and quotas add up the groups of a project (or of all) from the index alone: with
-- 100,000 clusters that is 800 pages instead of 13,000. Resizing changes a key of it, a change of
-- status does not.
CREATE INDEX nodegroup_project_sums ON nodegroup (project_id)
    INCLUDE (role, node_count, vcpus, ram_mb, volume_gb);
