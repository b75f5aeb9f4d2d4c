/** Generated from migrations/*.sql by `npm run generate`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
  {
    name: '0001-roles',
    sql: `-- One row for each tenant: every change of its roles and assignments locks it, so that no two of them pass a check together that
-- only one may pass. \`roles_version\` counts changes of roles and orders the access directory.
CREATE TABLE IF NOT EXISTS permission_tenants (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  roles_version INT UNSIGNED NOT NULL DEFAULT 0
) ENGINE = InnoDB;

-- Roles of a tenant's own making; the built-in ones are in the code.
CREATE TABLE IF NOT EXISTS permission_roles (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  role VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  description VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  -- What the role allows by itself, and the roles whose permissions it has as well.
  permissions JSON NOT NULL,
  inherits JSON NOT NULL,
  version INT UNSIGNED NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, role)
) ENGINE = InnoDB;

-- Stays when the last role is taken away: who is known here has the roles written here, whatever an older token says.
-- \`changed_at_ms\` only grows; tokens from before it are corrected in the access directory.
CREATE TABLE IF NOT EXISTS permission_users (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version INT UNSIGNED NOT NULL,
  changed_at_ms BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (tenant_id, user_id),
  KEY permission_users_changed (changed_at_ms)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS permission_assignments (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  role VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (tenant_id, user_id, role),
  KEY permission_assignments_role (tenant_id, role, user_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS permission_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS permission_inbox (
  source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (source, id),
  KEY permission_inbox_received (received_at)
) ENGINE = InnoDB;
`,
  },
]
