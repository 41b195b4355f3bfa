// Called by handlers.sql, in a process of its own.

module.exports = async function primes({ params }) {
  const isComposite = new Uint8Array(params.below);
  let count = 0;
  for (let number = 2; number < params.below; number++) {
    if (isComposite[number]) continue;
    count += 1;
    for (let multiple = number * number; multiple < params.below; multiple += number) isComposite[multiple] = 1;
  }
  console.log(`${count} primes below ${params.below}`);
  return { count };
};
