import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.Properties;

/**
 * Usage over JDBC, as DBeaver, Metabase and Tableau ask for it: the tables and their columns, then a day's sums.
 *
 * <p>{@code java -cp 'jars/*' Usage.java jdbc:clickhouse://127.0.0.1:8123/meterline?compress=false USER PASSWORD METRIC}
 */
public class Usage {
    public static void main(String[] arguments) throws Exception {
        Properties login = new Properties();
        login.setProperty("user", arguments[1]);
        login.setProperty("password", arguments[2]);
        try (Connection connection = DriverManager.getConnection(arguments[0], login)) {
            String database = connection.getSchema();
            try (ResultSet tables = connection.getMetaData().getTables(null, database, "usage_%", null)) {
                while (tables.next()) {
                    System.out.println("table\t" + tables.getString("TABLE_NAME"));
                }
            }
            try (ResultSet columns = connection.getMetaData().getColumns(null, database, "usage_daily", "%")) {
                while (columns.next()) {
                    System.out.println("column\t" + columns.getString("COLUMN_NAME") + "\t" + columns.getString("TYPE_NAME"));
                }
            }
            String sql = "SELECT tenant_id, day, count, sum, last_timestamp FROM usage_daily WHERE metric = ? ORDER BY tenant_id, day";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                statement.setString(1, arguments[3]);
                statement.setMaxRows(10000);
                try (ResultSet rows = statement.executeQuery()) {
                    while (rows.next()) {
                        BigDecimal sum = rows.getBigDecimal("sum");
                        System.out.println(String.join("\t", "row", rows.getString("tenant_id"), rows.getDate("day").toString(),
                            Long.toString(rows.getLong("count")), sum.stripTrailingZeros().toPlainString(),
                            rows.getTimestamp("last_timestamp").toInstant().toString()));
                    }
                }
            }
        }
    }
}
