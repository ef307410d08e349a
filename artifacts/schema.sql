-- The registry: what the record files say, as rows. user_version 8.
--
-- Every row is derived from a record file (records/ab/cdef…, canonical JSON named by its SHA-256), so the database can
-- be thrown away: `assay registry rebuild` makes the same rows again. Rows are therefore written by one program only;
-- read as you like, write nothing. Times are UTC. Booleans are 0 or 1. Object names are SHA-256 in hexadecimal, of a
-- file under objects/. Order is records.seq, never the clock: clocks go back. Rows of a run name it by runs.n, a number of
-- this database alone: small, and what belongs to one run lies together, behind that of the runs before it.
--
-- This file is run on an empty database. There is no ALTER: a newer schema is filled from the records (registry.c).

-- Facts about the database itself. format: what this file is.
CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT;
INSERT INTO meta VALUES ('format', 'assay-registry/1');

-- One row a record file. seq counts records in the order in which they were committed; two homes that were merged may
-- use one number twice, then id decides. fault: why not all (or none) of what the file says became rows; else NULL.
CREATE TABLE records (
	id         TEXT PRIMARY KEY CHECK (length(id) = 64),
	seq        INTEGER NOT NULL,
	format     TEXT NOT NULL,        -- assay-run/1, assay-promotion/1, assay-proposal-drop/1, assay-collection/1
	created    TEXT NOT NULL,        -- 2026-11-24T03:38:00Z
	created_ns INTEGER NOT NULL,     -- nanoseconds since 1970
	fault      TEXT
) STRICT;
CREATE INDEX records_by_seq ON records (seq, id);

-- Which shelves of records/ (00 to ff) had rows for all that lay on them, when they were last changed (shelves.c). Of this
-- machine's file system, and the one table that records do not give.
CREATE TABLE shelves (
	name     TEXT PRIMARY KEY,
	mtime_ns INTEGER NOT NULL,
	inode    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a run of the pipeline on a commit. id is the name of its record. n counts runs in the order of their records, so
-- that "newest first" is n downwards, on the table and (where a column is given) on each of its indexes.
CREATE TABLE runs (
	n          INTEGER PRIMARY KEY,
	id         TEXT NOT NULL UNIQUE REFERENCES records (id),
	seq        INTEGER NOT NULL,
	commit_oid TEXT,                 -- NULL: the revision could not be read
	tree_oid   TEXT,
	branch     TEXT,
	ref        TEXT,
	trust      TEXT NOT NULL CHECK (trust IN ('fork', 'branch', 'protected')),
	event      TEXT,                 -- what started it: push, hook, manual, …
	dirty      INTEGER NOT NULL CHECK (dirty IN (0, 1)), -- of the work tree, not of the commit alone
	profile    TEXT,
	verdict    TEXT NOT NULL
	           CHECK (verdict IN ('PASS', 'FAIL', 'INCONCLUSIVE', 'NO_BASELINE', 'INCOMPARABLE', 'ERROR')),
	exit_code  INTEGER NOT NULL,
	sentence   TEXT,                 -- the verdict in words
	created    TEXT NOT NULL,
	created_ns INTEGER NOT NULL,
	seconds    REAL,
	tool_version TEXT,
	numerics   TEXT,                 -- numerics class: back end, kernel version, element types, instruction level
	baseline_run     TEXT,           -- what the gate compared with; NULL: nothing
	baseline_model   TEXT,
	baseline_version INTEGER,
	baseline_name    TEXT,           -- as the policy named it
	model      TEXT,                 -- the version this run made or met again; NULL: none
	version    INTEGER,
	object     TEXT,                 -- what was judged, whether a version came of it or not: the model's folder
	prompt     TEXT                  -- and the prompt it was asked with
) STRICT;
CREATE INDEX runs_by_commit ON runs (commit_oid);
CREATE INDEX runs_by_branch ON runs (branch, n, id, commit_oid, created, verdict, model, version); -- all that a trend shows of a run
CREATE INDEX runs_by_baseline ON runs (baseline_run) WHERE baseline_run IS NOT NULL;
CREATE INDEX runs_by_baseline_model ON runs (baseline_model) WHERE baseline_model IS NOT NULL;
CREATE INDEX runs_by_version ON runs (model, version) WHERE model IS NOT NULL;
CREATE INDEX runs_by_model ON runs (model) WHERE model IS NOT NULL;

-- The steps of a run, in order: read plan train eval gate record report.
CREATE TABLE steps (
	run      INTEGER NOT NULL REFERENCES runs (n),
	position INTEGER NOT NULL,
	name     TEXT NOT NULL,
	status   TEXT NOT NULL,          -- done, reused, resumed, skipped, failed
	seconds  REAL,
	PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;

-- What the stages of a run made, under the key of all that can change it: a later run with this key reuses the output.
CREATE TABLE stages (
	run      INTEGER NOT NULL REFERENCES runs (n),
	position INTEGER NOT NULL,
	step     TEXT NOT NULL,          -- train, eval
	name     TEXT NOT NULL,          -- of the model or suite
	key      TEXT NOT NULL,
	output   TEXT,                   -- JSON
	object   TEXT,                   -- of the output, where it names one: what was trained
	PRIMARY KEY (run, position)
) STRICT;
CREATE INDEX stages_by_key ON stages (step, key, run, position);
CREATE INDEX stages_by_object ON stages (object, run) WHERE object IS NOT NULL;

-- One number a run, task, metric and filter ('' where the task has none). Kept together by run, without a second copy of the
-- key: the thousand numbers of a run are some pages in a row, and one number is found by its run.
CREATE TABLE metrics (
	run    INTEGER NOT NULL REFERENCES runs (n),
	suite  TEXT NOT NULL,
	task   TEXT NOT NULL,
	metric TEXT NOT NULL,
	filter TEXT NOT NULL,
	value  REAL,                     -- NULL: not a finite number
	stderr REAL,                     -- NULL: not known
	n      INTEGER NOT NULL,         -- samples
	higher_is_better INTEGER NOT NULL CHECK (higher_is_better IN (0, 1)),
	PRIMARY KEY (run, task, metric, filter, suite)
) STRICT, WITHOUT ROWID;

-- Where the samples of a run, task and filter stand: an object with one line a sample.
CREATE TABLE samples (
	run    INTEGER NOT NULL REFERENCES runs (n),
	suite  TEXT NOT NULL,
	task   TEXT NOT NULL,
	filter TEXT NOT NULL,
	n      INTEGER NOT NULL,
	object TEXT NOT NULL,
	PRIMARY KEY (run, suite, task, filter)
) STRICT, WITHOUT ROWID;

-- The learning curve of a run's model, thinned out to some hundred points: a row of 'train' is the mean loss of the steps
-- since the row before, with the rest as it stood at its step; one of 'validation' the loss of the held-out data. A run
-- that reused a trained model has the curve of that training.
CREATE TABLE curves (
	run          INTEGER NOT NULL REFERENCES runs (n),
	kind         TEXT NOT NULL CHECK (kind IN ('train', 'validation')),
	step         INTEGER NOT NULL,
	loss         REAL,               -- nats a counted token; NULL: not a finite number
	lr           REAL,               -- NULL: not known (validation, records from before version 2)
	grad_norm    REAL,               -- before clipping
	tokens_per_s REAL,
	PRIMARY KEY (run, kind, step)
) STRICT, WITHOUT ROWID;

-- What a run kept: role config, model, report, samples, log.
CREATE TABLE artifacts (
	run      INTEGER NOT NULL REFERENCES runs (n),
	position INTEGER NOT NULL,
	role     TEXT NOT NULL,
	object   TEXT NOT NULL,
	size     INTEGER NOT NULL,       -- bytes
	PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifacts_by_object ON artifacts (object);

-- Weights that were collected as garbage (assay artifact gc): their versions stay, their files went. They may be made again.
CREATE TABLE collected (
	object TEXT PRIMARY KEY,
	size   INTEGER NOT NULL,         -- bytes, as the manifest counts them
	record TEXT NOT NULL REFERENCES records (id)
) STRICT;

-- The data a run read. digest names the content, path where it stood in the commit.
CREATE TABLE datasets (
	run      INTEGER NOT NULL REFERENCES runs (n),
	position INTEGER NOT NULL,
	path     TEXT NOT NULL,
	digest   TEXT NOT NULL,
	"rows"   INTEGER,                -- NULL: not counted
	bytes    INTEGER NOT NULL,
	role     TEXT NOT NULL,          -- train, validation, eval
	schema   TEXT,                   -- JSON: {member: {"rows","types"}} of its rows
	license  TEXT,                   -- these four as the team says in assay.yaml, under data:
	owner    TEXT,
	source   TEXT,
	about    TEXT,
	PRIMARY KEY (run, position)
) STRICT;

-- Data sets have versions as models have: PATH@vN is the N-th content that stood at a path, in the order in which runs read
-- them. What is said of a version is what the last run that read it said.
CREATE TABLE data_versions (
	path      TEXT NOT NULL,
	number    INTEGER NOT NULL CHECK (number > 0),
	digest    TEXT NOT NULL,
	runs      INTEGER NOT NULL,      -- how many read it
	first_run INTEGER NOT NULL REFERENCES runs (n),
	last_run  INTEGER NOT NULL,
	last_position INTEGER NOT NULL,  -- there; the first, if it names the content twice
	PRIMARY KEY (path, number),
	UNIQUE (digest, path),
	FOREIGN KEY (last_run, last_position) REFERENCES datasets (run, position)
) STRICT, WITHOUT ROWID;

-- Lineage: what became what. Nodes are text: data:DIGEST, commit:OID, model:OBJECT, version:MODEL@v1.
CREATE TABLE edges (
	run       INTEGER NOT NULL REFERENCES runs (n),
	position  INTEGER NOT NULL,
	from_node TEXT NOT NULL,
	to_node   TEXT NOT NULL,
	relation  TEXT NOT NULL,
	PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX edges_by_from ON edges (from_node);
CREATE INDEX edges_by_to ON edges (to_node);

-- Models by name.
CREATE TABLE models (
	name       TEXT PRIMARY KEY,
	created    TEXT NOT NULL,
	created_ns INTEGER NOT NULL
) STRICT;

-- MODEL@vN: numbers from 1 without gaps. The same weights are the same version, whoever makes them again. Appended
-- only.
CREATE TABLE versions (
	model      TEXT NOT NULL REFERENCES models (name),
	number     INTEGER NOT NULL CHECK (number > 0),
	object     TEXT NOT NULL,        -- manifest of the model's folder
	key        TEXT,                 -- of the stage that made it
	product    TEXT,                 -- digest of weights, tokenizer, prompt and generation settings
	run        TEXT NOT NULL REFERENCES runs (id), -- that made it
	seq        INTEGER NOT NULL,
	created    TEXT NOT NULL,
	created_ns INTEGER NOT NULL,
	PRIMARY KEY (model, number),
	UNIQUE (model, object)
) STRICT;
CREATE INDEX versions_by_run ON versions (run);
CREATE INDEX versions_by_seq ON versions (seq);
CREATE INDEX versions_by_object ON versions (object);

-- Every move of an alias, for good. Appended only; id is the name of its record.
CREATE TABLE promotions (
	id           TEXT PRIMARY KEY REFERENCES records (id),
	seq          INTEGER NOT NULL,
	model        TEXT NOT NULL,
	alias        TEXT NOT NULL,
	version      INTEGER NOT NULL,
	from_version INTEGER,            -- what the alias pointed at; NULL: it was new
	actor        TEXT NOT NULL,
	reason       TEXT NOT NULL,
	run          TEXT REFERENCES runs (id), -- whose gate passed; NULL: a person's decision
	commit_oid   TEXT,
	forced       INTEGER NOT NULL CHECK (forced IN (0, 1)),
	rollback     INTEGER NOT NULL CHECK (rollback IN (0, 1)),
	verdict      TEXT,               -- of run, else of the run that made the version; NULL: from before version 5
	policy       TEXT,               -- digest of the gate's policy there; NULL: not known
	object       TEXT NOT NULL,      -- the version's model: as the record says, or (before version 7) as the version does
	chained      INTEGER NOT NULL CHECK (chained IN (0, 1)), -- says what it follows, if it be nothing
	previous     TEXT,               -- the promotion before it of this alias: the chain; NULL: the first, or from before
	created      TEXT NOT NULL,
	created_ns   INTEGER NOT NULL,
	FOREIGN KEY (model, version) REFERENCES versions (model, number)
) STRICT;
CREATE INDEX promotions_by_alias ON promotions (model, alias, seq);
CREATE INDEX promotions_by_seq ON promotions (seq);
CREATE INDEX promotions_by_run ON promotions (run);

-- Where each alias points now: the last promotion of it.
CREATE TABLE aliases (
	model     TEXT NOT NULL,
	alias     TEXT NOT NULL,
	version   INTEGER NOT NULL,
	promotion TEXT NOT NULL REFERENCES promotions (id),
	PRIMARY KEY (model, alias),
	FOREIGN KEY (model, version) REFERENCES versions (model, number)
) STRICT;

-- Promotions that a hook's run proposes, to be made once the commit has reached the remote's branch. Open while
-- settled is NULL; else the record that ended it.
CREATE TABLE proposals (
	run        TEXT PRIMARY KEY REFERENCES runs (id),
	seq        INTEGER NOT NULL,
	model      TEXT NOT NULL,
	alias      TEXT NOT NULL,
	version    INTEGER NOT NULL,
	expect     INTEGER NOT NULL,     -- what the gate compared with; 0: the alias did not exist
	commit_oid TEXT,
	remote     TEXT,
	ref        TEXT,
	settled    TEXT REFERENCES records (id),
	outcome    TEXT CHECK (outcome IN ('promoted', 'overtaken', 'dropped')),
	reason     TEXT,                 -- why it was dropped
	CHECK ((settled IS NULL) = (outcome IS NULL))
) STRICT;
CREATE INDEX proposals_by_alias ON proposals (model, alias);
CREATE INDEX proposals_open ON proposals (seq, run) WHERE settled IS NULL;

CREATE TRIGGER promotions_no_update BEFORE UPDATE ON promotions
BEGIN SELECT RAISE(ABORT, 'promotions are appended, never changed'); END;
CREATE TRIGGER promotions_no_delete BEFORE DELETE ON promotions
BEGIN SELECT RAISE(ABORT, 'promotions are appended, never deleted'); END;
CREATE TRIGGER promotions_no_replace BEFORE INSERT ON promotions
WHEN EXISTS (SELECT 1 FROM promotions WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'promotions are appended, never replaced'); END;

CREATE TRIGGER versions_no_update BEFORE UPDATE ON versions
BEGIN SELECT RAISE(ABORT, 'versions are appended, never changed'); END;
CREATE TRIGGER versions_no_delete BEFORE DELETE ON versions
BEGIN SELECT RAISE(ABORT, 'versions are appended, never deleted'); END;
CREATE TRIGGER versions_no_replace BEFORE INSERT ON versions
WHEN EXISTS (SELECT 1 FROM versions WHERE model = NEW.model AND (number = NEW.number OR object = NEW.object))
BEGIN SELECT RAISE(ABORT, 'versions are appended, never replaced'); END;
