// The zones of the proof: every kind of clock change there is, and some that have none.

export const provenZones = [
  'UTC',
  'Europe/Berlin',
  // Negative daylight saving: winter is the exception.
  'Europe/Dublin',
  'Europe/London',
  'America/New_York',
  'America/St_Johns',
  // Changes at midnight, before 2019.
  'America/Sao_Paulo',
  'America/Havana',
  // Half an hour.
  'Australia/Lord_Howe',
  // A day that never was, 30 December 2011.
  'Pacific/Apia',
  'Pacific/Chatham',
  // Summer time suspended for Ramadan; decreed until 2087.
  'Africa/Casablanca',
  'Africa/Cairo',
  // The gap begins before midnight and ends after it.
  'America/Godthab',
  // Two hours.
  'Antarctica/Troll',
  'Asia/Tehran',
  'Asia/Kolkata',
  'Asia/Gaza',
  // An offset with seconds, until 1972.
  'Africa/Monrovia',
  'America/Caracas',
  'America/Recife',
  'Asia/Pyongyang',
] as const;
