// Segment's own SDK, unchanged but for the host. Usage: segment.mjs URL KEY USER
import { Analytics } from "@segment/analytics-node";

const [host, writeKey, userId] = process.argv.slice(2);
const failures = [];
const analytics = new Analytics({ writeKey, host, path: "/v1/batch", flushAt: 4, maxRetries: 0 });
analytics.on("error", (error) => failures.push(error));

const calls = [
  (done) => analytics.track({ anonymousId: `${userId}-browser`, event: "Product Viewed", properties: { product_id: "tents-2" } }, done),
  (done) => analytics.identify({ userId, anonymousId: `${userId}-browser`, traits: { plan: "gold", email: `${userId}@shop.example` } }, done),
  (done) => analytics.track({ userId, event: "Order Completed", properties: { products: [{ product_id: "stoves-1", price: 20 }], revenue: 20 } }, done),
  (done) => analytics.page({ userId, name: "Home", properties: { url: "https://shop.example/" } }, done),
  (done) => analytics.screen({ userId, name: "Start" }, done),
  (done) => analytics.group({ userId, groupId: "club", traits: { name: "Hiking club" } }, done),
  (done) => analytics.alias({ userId, previousId: `${userId}-before` }, done),
];
await Promise.all(
  calls.map((call) => new Promise((resolve) => call((error) => {
    if (error) failures.push(error);
    resolve();
  }))),
);
await analytics.closeAndFlush({ timeout: 10_000 });

if (failures.length > 0) {
  console.error(failures);
  process.exit(1);
}
console.log("ok");
