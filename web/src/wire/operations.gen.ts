// Generated from schema.graphql and operations.graphql by `npm run generate`. Do not edit.

/** A GraphQL operation's text, with the types of what goes in and what comes out. */
export interface Operation<Result, Variables> {
  readonly text: string;
  readonly types?: (variables: Variables) => Result;
}

export type RunState = "running" | "silent" | "finished" | "failed" | "killed" | "crashed" | "preempted";

export type AlertSeverity = "INFO" | "WARN" | "ERROR";

export type AlertDeliveryState = "waiting" | "delivered" | "failed" | "left_out";

export type MetricType = "number" | "histogram" | "media" | "text" | "other";

export interface ProjectItem {
  readonly id: string;
  readonly name: string;
  readonly entityName: string;
  readonly createdAt: string;
  readonly lastActive: string;
  readonly runCount: number;
  readonly runningCount: number;
}

export interface RunItem {
  readonly name: string;
  readonly displayName: string;
  readonly state: RunState;
  readonly createdAt: string;
  readonly heartbeatAt: string;
  readonly computeSeconds: number;
  readonly group: string | null;
  readonly jobType: string | null;
  readonly tags: readonly (string)[];
  readonly historyLineCount: number;
  readonly lastStep: number | null;
}

export interface KeyItem {
  readonly key: string;
  readonly type: MetricType;
  readonly count: number;
  readonly runCount: number;
  readonly firstStep: number | null;
  readonly lastStep: number | null;
}

export interface DefinitionItem {
  readonly name: string;
  readonly stepMetric: string | null;
  readonly hidden: boolean;
  readonly summary: readonly (string)[];
  readonly goal: string | null;
}

export interface ServerInfoResult {
  readonly viewer: {
    readonly username: string;
    readonly entity: string;
  } | null;
  readonly serverInfo: {
    readonly version: string;
    readonly runsFolder: string | null;
  };
}

export type ServerInfoVariables = Record<string, never>;

export const ServerInfo: Operation<ServerInfoResult, ServerInfoVariables> = {
  text: "query ServerInfo {\n  viewer {\n    username\n    entity\n  }\n  serverInfo {\n    version\n    runsFolder\n  }\n}",
};

export interface ProjectsResult {
  readonly projects: {
    readonly totalCount: number;
    readonly edges: readonly ({
      readonly node: ProjectItem;
    })[];
    readonly pageInfo: {
      readonly hasNextPage: boolean;
      readonly endCursor: string | null;
    };
  };
}

export interface ProjectsVariables {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
}

export const Projects: Operation<ProjectsResult, ProjectsVariables> = {
  text: "query Projects($first: Int, $after: String) {\n  projects(first: $first, after: $after) {\n    totalCount\n    edges {\n      node {\n        ...ProjectItem\n      }\n    }\n    pageInfo {\n      hasNextPage\n      endCursor\n    }\n  }\n}\n\nfragment ProjectItem on Project {\n  id\n  name\n  entityName\n  createdAt\n  lastActive\n  runCount\n  runningCount\n}",
};

export interface ProjectHeadResult {
  readonly project: ProjectItem & {
    readonly metricDefinitions: readonly (DefinitionItem)[];
  } | null;
}

export interface ProjectHeadVariables {
  readonly entity: string;
  readonly project: string;
}

export const ProjectHead: Operation<ProjectHeadResult, ProjectHeadVariables> = {
  text: "query ProjectHead($entity: String!, $project: String!) {\n  project(name: $project, entityName: $entity) {\n    ...ProjectItem\n    metricDefinitions {\n      ...DefinitionItem\n    }\n  }\n}\n\nfragment ProjectItem on Project {\n  id\n  name\n  entityName\n  createdAt\n  lastActive\n  runCount\n  runningCount\n}\n\nfragment DefinitionItem on MetricDefinition {\n  name\n  stepMetric\n  hidden\n  summary\n  goal\n}",
};

export interface RunsResult {
  readonly project: {
    readonly runs: {
      readonly totalCount: number;
      readonly edges: readonly ({
        readonly node: RunItem;
      })[];
      readonly pageInfo: {
        readonly hasNextPage: boolean;
        readonly endCursor: string | null;
      };
    };
  } | null;
}

export interface RunsVariables {
  readonly entity: string;
  readonly project: string;
  readonly first: number;
  readonly after?: string | null | undefined;
  readonly order: string;
  readonly search?: string | null | undefined;
}

export const Runs: Operation<RunsResult, RunsVariables> = {
  text: "query Runs($entity: String!, $project: String!, $first: Int!, $after: String, $order: String!, $search: String) {\n  project(name: $project, entityName: $entity) {\n    runs(first: $first, after: $after, order: $order, search: $search) {\n      totalCount\n      edges {\n        node {\n          ...RunItem\n        }\n      }\n      pageInfo {\n        hasNextPage\n        endCursor\n      }\n    }\n  }\n}\n\nfragment RunItem on Run {\n  name\n  displayName\n  state\n  createdAt\n  heartbeatAt\n  computeSeconds\n  group\n  jobType\n  tags\n  historyLineCount\n  lastStep\n}",
};

export interface MetricKeysResult {
  readonly project: {
    readonly metricKeys: {
      readonly totalCount: number;
      readonly edges: readonly ({
        readonly node: KeyItem;
      })[];
      readonly pageInfo: {
        readonly hasNextPage: boolean;
        readonly endCursor: string | null;
      };
    };
  } | null;
}

export interface MetricKeysVariables {
  readonly entity: string;
  readonly project: string;
  readonly runs?: readonly string[] | null | undefined;
  readonly stream: string;
  readonly first: number;
  readonly after?: string | null | undefined;
}

export const MetricKeys: Operation<MetricKeysResult, MetricKeysVariables> = {
  text: "query MetricKeys($entity: String!, $project: String!, $runs: [String!], $stream: String!, $first: Int!, $after: String) {\n  project(name: $project, entityName: $entity) {\n    metricKeys(runs: $runs, stream: $stream, first: $first, after: $after) {\n      totalCount\n      edges {\n        node {\n          ...KeyItem\n        }\n      }\n      pageInfo {\n        hasNextPage\n        endCursor\n      }\n    }\n  }\n}\n\nfragment KeyItem on MetricKey {\n  key\n  type\n  count\n  runCount\n  firstStep\n  lastStep\n}",
};

export interface RunPageResult {
  readonly project: {
    readonly run: RunItem & {
      readonly notes: string | null;
      readonly exit: {
        readonly exitCode: number | null;
        readonly signal: number | null;
        readonly traceback: string | null;
        readonly reason: string | null;
      } | null;
      readonly config: string;
      readonly summaryMetrics: string;
      readonly metadata: string;
      readonly metricDefinitions: readonly (DefinitionItem)[];
      readonly losses: readonly ({
        readonly writer: string;
        readonly offset: number;
        readonly bytes: number;
        readonly reason: string;
      })[];
    } | null;
  } | null;
}

export interface RunPageVariables {
  readonly entity: string;
  readonly project: string;
  readonly run: string;
}

export const RunPage: Operation<RunPageResult, RunPageVariables> = {
  text: "query RunPage($entity: String!, $project: String!, $run: String!) {\n  project(name: $project, entityName: $entity) {\n    run(name: $run) {\n      ...RunItem\n      notes\n      exit {\n        exitCode\n        signal\n        traceback\n        reason\n      }\n      config\n      summaryMetrics\n      metadata\n      metricDefinitions {\n        ...DefinitionItem\n      }\n      losses {\n        writer\n        offset\n        bytes\n        reason\n      }\n    }\n  }\n}\n\nfragment RunItem on Run {\n  name\n  displayName\n  state\n  createdAt\n  heartbeatAt\n  computeSeconds\n  group\n  jobType\n  tags\n  historyLineCount\n  lastStep\n}\n\nfragment DefinitionItem on MetricDefinition {\n  name\n  stepMetric\n  hidden\n  summary\n  goal\n}",
};
