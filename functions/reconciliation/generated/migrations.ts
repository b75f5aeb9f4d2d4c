/** Generated from migrations/*.sql by `npm run generate`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
  {
    name: '0001-reconciliation',
    sql: `-- Sales that are looked after, with their terms; from the events of inventory and activity.
CREATE TABLE IF NOT EXISTS reconciliation_sales (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  terms TEXT CHARACTER SET utf8mb4 NULL,
  -- Null while it is looked after; then settled or cancelled.
  ended_at DATETIME(3) NULL,
  runs INT UNSIGNED NOT NULL DEFAULT 0,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, activity_id),
  KEY reconciliation_sales_active (ended_at, tenant_id, activity_id)
) ENGINE = InnoDB;

-- fencing_token grows from run to run: a runner that lost its lease cannot finish a run after a newer one began.
CREATE TABLE IF NOT EXISTS reconciliation_runs (
  run_id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  fencing_token BIGINT UNSIGNED NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  outcome VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  started_at DATETIME(3) NOT NULL,
  finished_at DATETIME(3) NULL,
  buyers BIGINT UNSIGNED NOT NULL DEFAULT 0,
  orders BIGINT UNSIGNED NOT NULL DEFAULT 0,
  repaired BIGINT UNSIGNED NOT NULL DEFAULT 0,
  open_findings BIGINT UNSIGNED NOT NULL DEFAULT 0,
  failure VARCHAR(500) CHARACTER SET utf8mb4 NULL,
  PRIMARY KEY (tenant_id, run_id),
  KEY reconciliation_runs_activity (tenant_id, activity_id, run_id),
  KEY reconciliation_runs_fence (tenant_id, activity_id, fencing_token)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS reconciliation_findings (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  run_id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  bucket SMALLINT UNSIGNED NOT NULL,
  kind VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  repair VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  occurrences BIGINT UNSIGNED NOT NULL,
  units BIGINT NOT NULL,
  repaired BIGINT UNSIGNED NOT NULL,
  order_numbers TEXT CHARACTER SET ascii NOT NULL,
  KEY reconciliation_findings_run (tenant_id, run_id)
) ENGINE = InnoDB;

-- How often the message of an accepted purchase was sent again.
CREATE TABLE IF NOT EXISTS reconciliation_resends (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  order_number CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  resends SMALLINT UNSIGNED NOT NULL,
  last_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, activity_id, order_number)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS reconciliation_outbox (
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
