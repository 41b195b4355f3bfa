// Called by handlers.sql.

/** Orders what is nearly gone. */
export default async function restock({ params, config, runId, services, progress, signal }) {
  const { database, logger } = services;
  const low = await database.query('SELECT id, name FROM product WHERE quantity < $floor ORDER BY id', { floor: params.floor });
  logger.info('nearly gone', { products: low.length });
  for (const [done, product] of low.entries()) {
    signal.throwIfAborted();
    await database.transaction.query('INSERT INTO reorder VALUES (?, ?, ?)', [product.id, config.amount, runId]);
    progress((done + 1) / low.length, product.name);
  }
  return { ordered: low.length };
}

export async function stockOf({ params, services }) {
  const [found] = await services.database.query('SELECT quantity FROM product WHERE id = ?', [params.product]);
  if (found === undefined) throw new Error(`there is no product ${params.product}`);
  console.log(`${params.at}: ${found.quantity} left`);
  return found.quantity;
}
