/**
 * TypeScript types of the GraphQL operations the app sends, from the server's schema and
 * `src/wire/operations.graphql`.  Written by `npm run generate`, compared by a test.
 */
import {
  getNamedType,
  GraphQLEnumType,
  GraphQLList,
  GraphQLNonNull,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLSchema,
  isEnumType,
  isLeafType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  parse,
  print,
  buildSchema,
  type SelectionSetNode,
  type TypeNode,
  validate,
  type FragmentDefinitionNode,
} from "graphql";

const SCALARS: Readonly<Record<string, string>> = {
  ID: "string",
  String: "string",
  JSONString: "string",
  DateTime: "string",
  Int: "number",
  Int64: "number",
  Float: "number",
  Boolean: "boolean",
};

interface Source {
  readonly schema: GraphQLSchema;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
}

/**
 * Returns the text of `operations.gen.ts`.
 *
 * @throws Error if an operation asks for what the schema does not have.
 */
export function generateTypes(schemaText: string, operationsText: string): string {
  const schema = buildSchema(schemaText);
  const document = parse(operationsText);
  const problems = validate(schema, document);
  if (problems.length > 0) throw new Error(problems.map((problem) => problem.message).join("\n"));
  const fragments = new Map(
    document.definitions.flatMap((d) => (d.kind === Kind.FRAGMENT_DEFINITION ? [[d.name.value, d]] : [])),
  );
  const source = { schema, fragments };
  const operations = document.definitions.filter((d) => d.kind === Kind.OPERATION_DEFINITION);
  return [
    "// Generated from schema.graphql and operations.graphql by `npm run generate`. Do not edit.",
    "",
    "/** A GraphQL operation's text, with the types of what goes in and what comes out. */",
    "export interface Operation<Result, Variables> {",
    "  readonly text: string;",
    "  readonly types?: (variables: Variables) => Result;",
    "}",
    "",
    ...enums(schema),
    ...[...fragments.values()].map((fragment) => fragmentType(source, fragment)),
    ...operations.map((operation) => operationTypes(source, operation)),
  ].join("\n");
}

function enums(schema: GraphQLSchema): string[] {
  return Object.values(schema.getTypeMap())
    .filter((type): type is GraphQLEnumType => isEnumType(type) && !type.name.startsWith("__"))
    .map((type) => {
      const values = type.getValues().map((value) => `"${value.name}"`);
      return `export type ${type.name} = ${values.join(" | ")};\n`;
    });
}

function fragmentType(source: Source, fragment: FragmentDefinitionNode): string {
  const on = source.schema.getType(fragment.typeCondition.name.value);
  if (!isObjectType(on)) throw new Error(`${fragment.name.value} is not on an object type`);
  return `export interface ${fragment.name.value} ${selection(source, on, fragment.selectionSet, "")}\n`;
}

function operationTypes(source: Source, operation: OperationDefinitionNode): string {
  const name = operation.name?.value;
  const query = source.schema.getQueryType();
  if (name === undefined || !query) throw new Error("every operation needs a name");
  const variables = (operation.variableDefinitions ?? []).map((v) => {
    const optional = v.type.kind !== Kind.NON_NULL_TYPE || v.defaultValue !== undefined;
    const type = optional ? `${inputType(v.type)} | null | undefined` : inputType(v.type);
    return `  readonly ${v.variable.name.value}${optional ? "?" : ""}: ${type};\n`;
  });
  const used = fragmentsUsed(source, operation.selectionSet).map((fragment) => print(fragment));
  const text = [print(operation), ...used].join("\n\n");
  return [
    `export interface ${name}Result ${selection(source, query, operation.selectionSet, "")}\n`,
    variables.length === 0
      ? `export type ${name}Variables = Record<string, never>;\n`
      : `export interface ${name}Variables {\n${variables.join("")}}\n`,
    `export const ${name}: Operation<${name}Result, ${name}Variables> = {`,
    `  text: ${JSON.stringify(text)},`,
    "};\n",
  ].join("\n");
}

function fragmentsUsed(source: Source, set: SelectionSetNode): FragmentDefinitionNode[] {
  const used = new Set<FragmentDefinitionNode>();
  const visit = (current: SelectionSetNode) => {
    for (const node of current.selections) {
      if (node.kind === Kind.FRAGMENT_SPREAD) {
        const fragment = source.fragments.get(node.name.value);
        if (fragment === undefined || used.has(fragment)) continue;
        used.add(fragment);
        visit(fragment.selectionSet);
      } else if (node.selectionSet) visit(node.selectionSet);
    }
  };
  visit(set);
  return [...used];
}

function selection(source: Source, on: GraphQLObjectType, set: SelectionSetNode, indent: string): string {
  const spreads: string[] = [];
  const fields: string[] = [];
  for (const node of set.selections) {
    if (node.kind === Kind.FRAGMENT_SPREAD) spreads.push(node.name.value);
    if (node.kind !== Kind.FIELD) continue;
    const field = on.getFields()[node.name.value];
    if (field === undefined) throw new Error(`${on.name} has no field ${node.name.value}`);
    const type = outputType(source, field.type, node.selectionSet, indent + "  ");
    fields.push(`${indent}  readonly ${node.alias?.value ?? node.name.value}: ${type};\n`);
  }
  const own = `{\n${fields.join("")}${indent}}`;
  if (spreads.length === 0) return own;
  return fields.length === 0 ? spreads.join(" & ") : `${spreads.join(" & ")} & ${own}`;
}

function outputType(
  source: Source,
  type: GraphQLOutputType,
  set: SelectionSetNode | undefined,
  indent: string,
): string {
  if (type instanceof GraphQLNonNull) return nonNull(source, type.ofType, set, indent);
  return `${nonNull(source, type, set, indent)} | null`;
}

function nonNull(
  source: Source,
  type: GraphQLOutputType,
  set: SelectionSetNode | undefined,
  indent: string,
): string {
  if (type instanceof GraphQLList) {
    return `readonly (${outputType(source, type.ofType, set, indent)})[]`;
  }
  const named = getNamedType(type);
  if (isLeafType(named)) return isEnumType(named) ? named.name : scalar(named.name);
  if (!isObjectType(named) || set === undefined) throw new Error(`${named.name} needs a selection`);
  return selection(source, named, set, indent);
}

function inputType(type: TypeNode): string {
  if (type.kind === Kind.NON_NULL_TYPE) return inputType(type.type);
  if (type.kind === Kind.LIST_TYPE) return `readonly ${inputType(type.type)}[]`;
  return scalar(type.name.value);
}

function scalar(name: string): string {
  const type = SCALARS[name];
  if (type === undefined) throw new Error(`no TypeScript type is known for the scalar ${name}`);
  return type;
}
