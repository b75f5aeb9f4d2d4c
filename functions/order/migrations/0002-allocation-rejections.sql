-- Most activities reject nothing: then no number has to be looked for among the rejections before its order is stored.
ALTER TABLE order_allocations ADD COLUMN has_rejections BOOLEAN NOT NULL DEFAULT FALSE AFTER closed_at;
UPDATE order_allocations SET terms_version = terms_version + 1, has_rejections = TRUE
  WHERE (tenant_id, activity_id) IN (SELECT tenant_id, activity_id FROM order_rejections);
