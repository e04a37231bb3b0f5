// Other people's parts for the tests: check.mjs FOLDER WHAT FILE..., FOLDER as
// t/openapi/install prints it; the verdict is JSON on standard output.
//
//   document DOC            is it OpenAPI 3.1?
//   answers DOC ANSWERS     do answers (JSON lines: path, method, status, type,
//                           body, and request where there was one) have the
//                           schemas that the document gives them?

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [folder, what, ...files] = process.argv.slice(2);
const from = createRequire(`${folder}/package.json`);
const load = async (name) => {
    const module = await import(pathToFileURL(from.resolve(name)));
    return module.default?.default ?? module.default ?? module;
};
const [text, lines] = files.map((file) => readFileSync(file, 'utf8'));

const checks = { document, answers };
console.log(JSON.stringify(await checks[what]()));

async function document() {
    const { Validator } = await import(pathToFileURL(
        from.resolve('@seriousme/openapi-schema-validator')));
    const validator = new Validator();
    const { valid, errors } = await validator.validate(JSON.parse(text));
    return { valid, version: validator.version, errors: errors ?? [] };
}

async function answers() {
    const Ajv = await load('ajv/dist/2020.js');
    const formats = await load('ajv-formats');
    const ajv = new Ajv({ strict: false, allErrors: true,
                          validateSchema: false });
    formats(ajv);
    ajv.addSchema(JSON.parse(text), 'doc');

    const pointer = (...names) => 'doc#/' + names.map((name) =>
        encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1')))
        .join('/');
    const compiled = new Map();
    const wrong = [];
    const check = (schema, value, where) => {
        if (!compiled.has(schema))
            compiled.set(schema, ajv.compile({ $ref: schema }));
        const validate = compiled.get(schema);
        if (!validate(value))
            wrong.push({ where, value, errors: validate.errors
                .map((e) => `${e.instancePath} ${e.message}`) });
    };

    let n = 0, requests = 0;
    for (const line of lines.split('\n').filter((l) => l)) {
        const a = JSON.parse(line);
        const call = ['paths', a.path, a.method];
        const where = `${a.method} ${a.path} ${a.status}`;
        if (a.body !== undefined) {
            check(pointer(...call, 'responses', `${a.status}`, 'content',
                          a.type, 'schema'), a.body, where);
            n++;
        }
        if (a.request !== undefined) {
            check(pointer(...call, 'requestBody', 'content',
                          'application/json', 'schema'), a.request,
                  `the request of ${where}`);
            requests++;
        }
    }
    return { answers: n, requests, wrong };
}
