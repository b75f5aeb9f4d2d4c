/** Generated from migrations/*.sql by `npm run generate`. Do not edit. */
import type { Migration } from '@stampede/shared/database/migrate.ts'

export const migrations: readonly Migration[] = [
  {
    name: '0001-messages',
    sql: `-- Messages to people, recipient and parameters sealed. Kept for an hour after they came, then deleted whatever became of them.
CREATE TABLE IF NOT EXISTS notification_messages (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  notification_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  channel VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  template VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  locale VARCHAR(35) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sealed_recipient VARCHAR(4096) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sealed_parameters VARCHAR(4096) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  received_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, notification_id),
  KEY notification_messages_received (tenant_id, received_at),
  KEY notification_messages_age (received_at)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS notification_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS notification_inbox (
  source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (source, id),
  KEY notification_inbox_received (received_at)
) ENGINE = InnoDB;
`,
  },
]
