import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One node of OpenSearch on given ports. Arguments: its directory, the HTTP port, the transport port. The runner's own main takes only ports from 9201 to 9299. */
class OpensearchNode {
  public static void main(String[] arguments) throws Exception {
    String directory = arguments[0];
    int port = Integer.parseInt(arguments[1]);
    OpenSearchRunner runner = new OpenSearchRunner();
    runner.setMaxHttpPort(-1);
    runner.onBuild((number, settings) -> {
      settings.put("path.repo", directory + "/repository");
      settings.put("network.host", "127.0.0.1");
      settings.put("transport.port", arguments[2]);
      settings.put("discovery.type", "single-node");
      settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
    });
    try {
      // The first node listens one above the base.
      runner.build(new String[] {
        "-basePath", directory, "-numOfNode", "1", "-clusterName", "holdfast-test", "-baseHttpPort", String.valueOf(port - 1), "-moduleTypes",
        "org.opensearch.analysis.common.CommonAnalysisPlugin,org.opensearch.transport.Netty4Plugin"
      });
    } catch (Throwable failure) {
      failure.printStackTrace();
      System.exit(1);
    }
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        runner.close();
      } catch (java.io.IOException failure) {
        failure.printStackTrace();
      }
    }));
    Thread.currentThread().join();
  }
}
