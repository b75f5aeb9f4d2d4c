/** Generated from migrations/*.sql by `npm run generate`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
  {
    name: '0001-tenants',
    sql: `-- A tenant. \`version\` counts every change: it is what staff name, and what orders the access directory.
CREATE TABLE IF NOT EXISTS tenant_tenants (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  name VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- Why the state is what it is, in the words of whoever changed it.
  reason VARCHAR(500) CHARACTER SET utf8mb4 NULL,
  quota_config JSON NOT NULL,
  settings JSON NOT NULL,
  version INT UNSIGNED NOT NULL DEFAULT 1,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS tenant_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS tenant_inbox (
  source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (source, id),
  KEY tenant_inbox_received (received_at)
) ENGINE = InnoDB;
`,
  },
  {
    name: '0002-storage',
    sql: `-- Rows that other functions hold of the tenant, as they were counted last; unknown until the first time.
ALTER TABLE tenant_tenants
  ADD COLUMN storage_rows BIGINT UNSIGNED NULL AFTER settings,
  ADD COLUMN storage_exceeded BOOLEAN NOT NULL DEFAULT FALSE AFTER storage_rows;
`,
  },
]
