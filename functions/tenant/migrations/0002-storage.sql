-- Rows that other functions hold of the tenant, as they were counted last; unknown until the first time.
ALTER TABLE tenant_tenants
  ADD COLUMN storage_rows BIGINT UNSIGNED NULL AFTER settings,
  ADD COLUMN storage_exceeded BOOLEAN NOT NULL DEFAULT FALSE AFTER storage_rows;
