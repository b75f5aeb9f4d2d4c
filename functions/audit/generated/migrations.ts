/** Generated from migrations/*.sql by `npm run generate`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
  {
    name: '0001-records',
    sql: `-- Appended to and read, never changed: no statement of this function updates or deletes here. \`details\` is canonical JSON.
CREATE TABLE IF NOT EXISTS audit_records (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sequence BIGINT UNSIGNED NOT NULL,
  record_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  actor_kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  actor_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  actor_tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  action VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  subject VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  details MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  at DATETIME(3) NOT NULL,
  recorded_at DATETIME(3) NOT NULL,
  previous_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (tenant_id, sequence),
  UNIQUE KEY audit_records_once (tenant_id, record_id),
  KEY audit_records_actor (tenant_id, actor_id, sequence),
  KEY audit_records_action (tenant_id, action, sequence),
  KEY audit_records_subject (tenant_id, subject, sequence),
  KEY audit_records_at (tenant_id, at)
) ENGINE = InnoDB;

-- The end of each chain. Its lock makes appends of a tenant come one after the other; its MAC is what a database alone cannot forge.
CREATE TABLE IF NOT EXISTS audit_chains (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  sequence BIGINT UNSIGNED NOT NULL,
  hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  key_id VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  mac CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
) ENGINE = InnoDB;

-- What the end of a chain was at times. Each is published and logged as well: copies outside of the database show what was cut off.
CREATE TABLE IF NOT EXISTS audit_checkpoints (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sequence BIGINT UNSIGNED NOT NULL,
  hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at DATETIME(3) NOT NULL,
  key_id VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  mac CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (tenant_id, sequence)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS audit_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;
`,
  },
]
