// Starts the bundle beside it. V8 gets the code that `compile.js` compiled beforehand, for this version of Node: a process that
// starts from zero then spends its first half second on answering. Without a fitting cache it only starts more slowly.
const { readFileSync } = require('node:fs')
const path = require('node:path')
const { Script, constants } = require('node:vm')

const file = path.join(__dirname, 'function.js')
const cacheFile = path.join(__dirname, `function-${process.version}-${process.arch}.cache`)

function readCache() {
  try {
    return readFileSync(cacheFile)
  } catch {
    return undefined
  }
}

// The bundle is ASCII: read as it is, a byte a character. One line, so that line numbers are those of the file.
const source = `(function (exports, require, module, __filename, __dirname) {${readFileSync(file, 'latin1')}\n})`
const script = new Script(source, {
  filename: file,
  cachedData: readCache(),
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
})
module.exports = { script, cacheFile }
script.runInThisContext()({}, require, {}, file, __dirname)
