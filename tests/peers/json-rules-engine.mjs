// json-rules-engine on one workload: `node json-rules-engine.mjs WORKLOAD SECONDS`.
// The same checks, the same timing and the same answer as src/main.rs.

import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { Engine } from 'json-rules-engine'

const PEOPLE_MIN = 3
const [path, seconds] = process.argv.slice(2)
const { rules, people } = JSON.parse(readFileSync(path, 'utf8'))
const time = Number(seconds) * 1000

const engine = new Engine()
rules.forEach((rule, number) => {
  engine.addRule({
    conditions: {
      all: [
        { fact: 'country', operator: 'in', value: rule.countries },
        { fact: 'age', operator: 'greaterThanInclusive', value: rule.age_min },
        { fact: 'age', operator: 'lessThanInclusive', value: rule.age_max },
        { fact: 'tier', operator: 'greaterThanInclusive', value: rule.tier_min },
        { fact: 'days_since_purchase', operator: 'lessThanInclusive', value: rule.days_max },
        { fact: 'interests', operator: 'contains', value: rule.interest },
      ],
    },
    event: { type: 'rule', params: { number } },
  })
})

async function matching({ matching, ...facts }) {
  const { events } = await engine.run(facts)
  return events.map((event) => event.params.number)
}

let begin = performance.now()
for (const [number, person] of people.entries()) {
  if (number >= PEOPLE_MIN && performance.now() - begin > time) break
  const found = (await matching(person)).sort((a, b) => a - b)
  if (!isDeepStrictEqual(found, person.matching)) {
    throw new Error(`person ${number} satisfies ${person.matching}, but it found ${found}`)
  }
}

begin = performance.now()
let evaluations = 0
while (evaluations < PEOPLE_MIN || performance.now() - begin <= time) {
  await matching(people[evaluations % people.length])
  evaluations += 1
}
console.log(JSON.stringify({ us: ((performance.now() - begin) * 1000) / evaluations }))
