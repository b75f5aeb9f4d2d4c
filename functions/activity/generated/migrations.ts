/** Generated from migrations/*.sql by `npm run generate`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
  {
    name: '0001-activities',
    sql: `CREATE TABLE IF NOT EXISTS activity_activities (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Counts every change; staff name the version they saw.
  version INT UNSIGNED NOT NULL DEFAULT 1,
  name VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  variant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  stock INT UNSIGNED NOT NULL,
  per_user_limit SMALLINT UNSIGNED NOT NULL,
  buckets SMALLINT UNSIGNED NOT NULL,
  starts_at DATETIME(3) NOT NULL,
  ends_at DATETIME(3) NOT NULL,
  price_cents BIGINT UNSIGNED NOT NULL,
  currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payment_timeout_seconds INT UNSIGNED NOT NULL,
  allocated_at DATETIME(3) NULL,
  -- What is known from other functions: why an allocation was refused, the newest reconciliation, the last settlement try, what was sold.
  refusal TEXT CHARACTER SET utf8mb4 NULL,
  reconciliation TEXT CHARACTER SET utf8mb4 NULL,
  consistency TEXT CHARACTER SET utf8mb4 NULL,
  sold INT UNSIGNED NULL,
  unsold INT UNSIGNED NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, activity_id),
  KEY activity_activities_clock (state, starts_at)
) ENGINE = InnoDB;

-- One row for each change of state.
CREATE TABLE IF NOT EXISTS activity_transitions (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version INT UNSIGNED NOT NULL,
  command VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  from_state VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  to_state VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  actor VARCHAR(96) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, activity_id, version)
) ENGINE = InnoDB;

-- The sale as the clock saw it, for the report.
CREATE TABLE IF NOT EXISTS activity_samples (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  activity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at DATETIME(3) NOT NULL,
  sold BIGINT NOT NULL,
  units_left BIGINT NOT NULL,
  outbox_length BIGINT NOT NULL,
  refused TEXT CHARACTER SET utf8mb4 NULL,
  PRIMARY KEY (tenant_id, activity_id, at)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS activity_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS activity_inbox (
  source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (source, id),
  KEY activity_inbox_received (received_at)
) ENGINE = InnoDB;
`,
  },
  {
    name: '0002-tenants',
    sql: `-- One row for each tenant with a quota of activities: whoever creates one locks it, so that no two of them count together and both pass.
CREATE TABLE IF NOT EXISTS activity_tenants (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  locked_at DATETIME(3) NOT NULL
) ENGINE = InnoDB;
`,
  },
]
