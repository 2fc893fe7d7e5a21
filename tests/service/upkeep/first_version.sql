-- What the first version of the service left: made by its first migration alone, with two made-up studies.
BEGIN TRANSACTION;
CREATE TABLE alarm (
	id INTEGER NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	about VARCHAR(200) NOT NULL, 
	text TEXT NOT NULL, 
	remedy TEXT NOT NULL, 
	opened DATETIME NOT NULL, 
	closed DATETIME, 
	seen_by TEXT NOT NULL, 
	count INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE audit (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at DATETIME NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	action VARCHAR(40) NOT NULL, 
	study_uid VARCHAR(64) NOT NULL, 
	detail TEXT NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	chain VARCHAR(64) NOT NULL
);
CREATE TABLE instance (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	sop_class_uid VARCHAR(64) NOT NULL, 
	series_uid VARCHAR(64) NOT NULL, 
	path TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	revision INTEGER NOT NULL, 
	sender TEXT NOT NULL, 
	received DATETIME NOT NULL, 
	facts JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(study_id) REFERENCES study (id) ON DELETE CASCADE, 
	UNIQUE (sop_instance_uid)
);
INSERT INTO "instance" VALUES(1,3,'1.2.3.1.1','1.2.840.10008.5.1.4.1.1.1.1','1.2.3.1','instances/aa/aabb/cc/dd-ee.dcm',10,'0000000000000000000000000000000000000000000000000000000000000000',2,'M','2026-01-05 10:00:00.000000','{"use": "image"}');
CREATE TABLE job (
	id INTEGER NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	"key" VARCHAR(200) NOT NULL, 
	study_id INTEGER, 
	payload JSON NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	urgent INTEGER NOT NULL, 
	tries INTEGER NOT NULL, 
	not_before DATETIME NOT NULL, 
	worker VARCHAR(64), 
	reason TEXT NOT NULL, 
	created DATETIME NOT NULL, 
	ended DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(study_id) REFERENCES study (id) ON DELETE CASCADE, 
	UNIQUE (kind, "key")
);
INSERT INTO "job" VALUES(1,'score','4:1',4,'{}','done',0,1,'2026-01-05 10:00:00.000000',NULL,'','2026-01-05 10:00:00.000000',NULL);
INSERT INTO "job" VALUES(2,'score','3:2',3,'{}','running',0,1,'2026-01-05 10:00:00.000000','scorer-0.abc','','2026-01-05 10:00:00.000000',NULL);
INSERT INTO "job" VALUES(3,'send','1:pacs',4,'{"destination": "pacs"}','waiting',0,2,'2026-01-05 10:00:00.000000',NULL,'','2026-01-05 10:00:00.000000',NULL);
INSERT INTO "job" VALUES(4,'tell','1:mail',4,'{"destination": "mail"}','set aside',0,9,'2026-01-05 10:00:00.000000',NULL,'','2026-01-05 10:00:00.000000',NULL);
CREATE TABLE login_session (
	token VARCHAR(64) NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	csrf VARCHAR(64) NOT NULL, 
	created DATETIME NOT NULL, 
	last_seen DATETIME NOT NULL, 
	expires DATETIME NOT NULL, 
	PRIMARY KEY (token), 
	FOREIGN KEY(person) REFERENCES person (name) ON DELETE CASCADE
);
CREATE TABLE person (
	name VARCHAR(200) NOT NULL, 
	role VARCHAR(20) NOT NULL, 
	password TEXT NOT NULL, 
	subject VARCHAR(300), 
	language VARCHAR(8) NOT NULL, 
	disabled BOOLEAN NOT NULL, 
	created DATETIME NOT NULL, 
	PRIMARY KEY (name), 
	UNIQUE (subject)
);
CREATE TABLE reading (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	study_id INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	bundle VARCHAR(200) NOT NULL, 
	bundle_digest VARCHAR(64) NOT NULL, 
	shadow BOOLEAN NOT NULL, 
	score DOUBLE, 
	p_value DOUBLE, 
	flagged BOOLEAN, 
	threshold DOUBLE, 
	false_alarm_rate DOUBLE, 
	worst TEXT NOT NULL, 
	images JSON NOT NULL, 
	scanner TEXT NOT NULL, 
	facts JSON NOT NULL, 
	folder TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	seconds DOUBLE NOT NULL, 
	FOREIGN KEY(study_id) REFERENCES study (id) ON DELETE CASCADE, 
	UNIQUE (study_id, revision, bundle_digest)
);
CREATE TABLE result (
	id INTEGER NOT NULL, 
	reading_id INTEGER NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	sop_class_uid VARCHAR(64) NOT NULL, 
	path TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(reading_id) REFERENCES reading (id) ON DELETE CASCADE, 
	UNIQUE (sop_instance_uid)
);
CREATE TABLE study (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	study_uid VARCHAR(64) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	revision INTEGER NOT NULL, 
	instances INTEGER NOT NULL, 
	patient_id TEXT NOT NULL, 
	patient_name TEXT NOT NULL, 
	birth_date TEXT NOT NULL, 
	sex TEXT NOT NULL, 
	accession TEXT NOT NULL, 
	study_date TEXT NOT NULL, 
	description TEXT NOT NULL, 
	modality TEXT NOT NULL, 
	first_received DATETIME NOT NULL, 
	last_received DATETIME NOT NULL, 
	bundle TEXT NOT NULL, 
	score DOUBLE, 
	p_value DOUBLE, 
	flagged BOOLEAN, 
	read_at DATETIME, 
	reason TEXT NOT NULL, 
	UNIQUE (study_uid)
);
INSERT INTO "study" VALUES(3,'1.2.3','waiting',2,1,'P3','Made^Up','','','A3','','','DX','2026-01-05 10:00:00.000000','2026-01-05 10:00:00.000000','',NULL,NULL,NULL,NULL,'');
INSERT INTO "study" VALUES(4,'1.2.4','read',1,0,'P4','Made^Up','','','A4','','','DX','2026-01-05 10:00:00.000000','2026-01-05 10:00:00.000000','chest',1.5,0.02,1,'2026-01-05 10:00:00.000000','');
CREATE TABLE threshold_change (
	id INTEGER NOT NULL, 
	bundle VARCHAR(200) NOT NULL, 
	false_alarm_rate DOUBLE NOT NULL, 
	person VARCHAR(200) NOT NULL, 
	comment TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE verdict (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	reading_id INTEGER, 
	person VARCHAR(200) NOT NULL, 
	agrees BOOLEAN NOT NULL, 
	abnormal BOOLEAN NOT NULL, 
	comment TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(reading_id) REFERENCES reading (id) ON DELETE SET NULL, 
	FOREIGN KEY(study_id) REFERENCES study (id) ON DELETE CASCADE
);
CREATE TABLE worker (
	id VARCHAR(64) NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	role VARCHAR(20) NOT NULL, 
	beat INTEGER NOT NULL, 
	started DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "worker" VALUES('scorer-0.abc','gone',1,'scorer',5,'2026-01-05 10:00:00.000000');
CREATE INDEX ix_audit_action ON audit (action);
CREATE INDEX ix_audit_study_uid ON audit (study_uid);
CREATE INDEX ix_login_session_person ON login_session (person);
CREATE INDEX ix_study_accession ON study (accession);
CREATE INDEX ix_study_patient_id ON study (patient_id);
CREATE INDEX ix_study_state ON study (state);
CREATE INDEX ix_threshold_change_bundle ON threshold_change (bundle);
CREATE INDEX ix_instance_study_id ON instance (study_id);
CREATE INDEX ix_reading_at ON reading (at);
CREATE INDEX ix_reading_scanner ON reading (scanner);
CREATE INDEX ix_reading_study_id ON reading (study_id);
CREATE INDEX ix_result_reading_id ON result (reading_id);
CREATE INDEX ix_verdict_study_id ON verdict (study_id);
CREATE INDEX ix_alarm_kind ON alarm (kind);
CREATE INDEX ix_job_study_id ON job (study_id);
CREATE INDEX ix_job_worker ON job (worker);
CREATE INDEX job_next ON job (state, kind, not_before);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'rows of audit are added and never changed'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'rows of audit are added and never changed'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('study',4);
COMMIT;
